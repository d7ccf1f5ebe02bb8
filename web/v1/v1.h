/* The handlers of /v1, a file each. What they do is said in web/api.c and docs/http-api.md. */
#ifndef BERTH_WEB_V1_V1_H
#define BERTH_WEB_V1_V1_H

#include "web/route.h"

route_fn v1_server_get, v1_counts_get, v1_nodes_get;
route_fn v1_devices_list, v1_devices_get, v1_devices_forget;
route_fn v1_events_get, v1_events_last;
route_fn v1_wait_post;
route_fn v1_clock_get, v1_clock_advance;
route_fn v1_reset_post;
route_fn v1_faults_list, v1_faults_put, v1_faults_clear, v1_faults_get, v1_faults_delete;
route_fn v1_device_faults_list, v1_device_faults_put, v1_device_faults_clear;
route_fn v1_scenarios_list, v1_scenarios_post, v1_scenarios_get, v1_scenarios_delete;
route_fn v1_objects_list, v1_objects_get, v1_objects_get_version;
route_fn v1_objects_put, v1_objects_put_version;
route_fn v1_objects_delete, v1_objects_delete_version;
route_fn v1_traffic_get;
route_fn v1_messages_get, v1_messages_delete;
route_fn v1_messages_of_device_get, v1_messages_of_device_delete;
route_fn v1_messages_of_peer_get, v1_messages_of_peer_delete;
route_fn v1_credentials_list, v1_credentials_get, v1_credentials_put, v1_credentials_delete;
route_fn v1_bootstrap_list, v1_bootstrap_get, v1_bootstrap_put, v1_bootstrap_delete;
route_fn v1_bootstrap_session, v1_bootstrap_start;
route_fn v1_pki_developer;
route_fn v1_oscore_rederive;
route_fn v1_firmware_list, v1_firmware_get, v1_firmware_put_begin, v1_firmware_put, v1_firmware_delete;
route_fn v1_firmware_put_faults;
route_fn v1_firmware_update_get, v1_firmware_update_post, v1_firmware_update_delete;
route_fn v1_requests_post;
route_fn v1_queued_get, v1_queued_get_response, v1_queued_delete;
route_fn v1_queue_get, v1_queue_put, v1_queue_delete;
route_fn v1_ping_post;
route_fn v1_read, v1_discover;
route_fn v1_write_replace, v1_write_update, v1_create;
route_fn v1_execute, v1_delete, v1_write_attributes;
route_fn v1_trigger_update, v1_trigger_disable, v1_trigger_bootstrap, v1_mute_send;
route_fn v1_composite_read, v1_composite_observe, v1_composite_write;
route_fn v1_observe, v1_unobserve;
route_fn v1_observations_list, v1_observations_get, v1_observations_end, v1_observations_end_all;

#endif
