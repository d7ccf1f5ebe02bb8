/* Object definitions from files: OMA XML, for programs that are told of files when they start. */
#ifndef BERTH_LWM2M_OBJECT_FILE_H
#define BERTH_LWM2M_OBJECT_FILE_H

#include "common/lwm2m/catalogue.h"

/* Load the definitions of the XML file `path` as CATALOGUE_FILE. False: one line in `error`, with path and line. */
bool object_file_load(struct catalogue *catalogue, const char *path, char *error, size_t error_size);

/* Load every file of the directory whose name ends in .xml, in the order of their names. Two files must not define the
 * same version of an object. False: one line in `error`; some files may have been loaded. */
bool object_file_load_directory(struct catalogue *catalogue, const char *directory, char *error, size_t error_size);

#endif
