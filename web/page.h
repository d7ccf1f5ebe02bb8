/* The page for people at `/`. Its files are those of web/page/, compiled in; they show what /v1 tells, and know nothing
 * else. They are public: what needs the API key is what they ask for. */
#ifndef BERTH_WEB_PAGE_H
#define BERTH_WEB_PAGE_H

#include "web/route.h"

/* index.html; and any file of the page by its name, the route's first argument. */
route_fn page_get_index, page_get_file;

/* A file as it is, in memory that the caller frees; data is NULL when there is none. */
struct page_file;
struct slice page_file_plain(const struct page_file *file);

/* Whether an Accept-Encoding header field takes gzip (RFC 9110 §12.5.3): it or `*` is named, and not with q=0. */
bool page_takes_gzip(struct slice accept_encoding);

#endif
