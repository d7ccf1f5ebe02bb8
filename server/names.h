/* Names under which settings lie in the store. */
#ifndef BERTH_SERVER_NAMES_H
#define BERTH_SERVER_NAMES_H

#define SETTING_EVENT_NUMBERS    "event_numbers"    /* event numbers up to this one may have been used */
#define SETTING_CLOCK_LEAPT      "clock_leapt_ms"   /* how far protocol time has been leapt */
#define SETTING_REGISTRATION_IDS "registration_ids" /* registration ids up to this one may have been used */
#define SETTING_OBSERVATION_IDS  "observation_ids"  /* likewise */
#define SETTING_REQUEST_IDS      "request_ids"      /* ids of queued requests up to this one may have been used */
#define SETTING_KEY_CHECK        "key_check"        /* sealed with the key file: tells whether it is the right one */

#endif
