/* plugin_notice.h - says in the log that a plugin is configured which does nothing yet, or asked
 * for something that it doesn't do yet.
 *
 * Thread: control. */
#ifndef CONTROL_PLUGIN_NOTICE_H
#define CONTROL_PLUGIN_NOTICE_H

struct config;
struct config_change;

/* A warning for each such plugin of the change. */
void plugin_notice_change(const struct config_change *change);
/* One for each name in the configuration of which nothing is done, with how many rows have it; and
 * one for each row of which a part isn't. */
void plugin_notice_all(const struct config *config);

#endif
