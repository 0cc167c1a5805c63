/* consul_watch_trouble.h - what a watch does about answers that are of no use, and without any: the
 * last known targets stay, and it asks again, after a while that fits the cause.
 *
 * Thread: the control loop. Memory: the watch's. */
#ifndef DISCOVERY_CONSUL_WATCH_TROUBLE_H
#define DISCOVERY_CONSUL_WATCH_TROUBLE_H

#include "discovery/consul_watch_state.h"

/* After trouble of any kind. News: without any answer so far, users should not go on waiting. */
void consul_watch_note_trouble(struct consul_watch *watch);
/* Nobody followed it for a moment, which need not be Consul's fault: all is asked anew. */
void consul_watch_note_gap(struct consul_watch *watch);
/* Parks the watch until the agent is back. */
void consul_watch_agent_lost(struct consul_watch *watch, CURLcode result, const char *reason);
/* `status`: HTTP's, or -1 for an answer that makes no sense. It is logged once. */
void consul_watch_answer_failed(struct consul_watch *watch, int status, const char *reason);
/* The same, for a reason that the body holds. */
void consul_watch_refuse_status(struct consul_watch *watch, int status);
/* What it fails with, for the status of all watches; 0: nothing. */
void consul_watch_set_failing(struct consul_watch *watch, int status);

#endif
