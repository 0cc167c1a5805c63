/* plugin_notice.h - says in the log that a plugin is configured which does nothing yet.
 *
 * Thread: control. */
#ifndef CONTROL_PLUGIN_NOTICE_H
#define CONTROL_PLUGIN_NOTICE_H

struct config;
struct config_change;

/* A warning for each such plugin of the change. */
void plugin_notice_change(const struct config_change *change);
/* One for each name in the configuration, with how many rows have it. */
void plugin_notice_all(const struct config *config);

#endif
