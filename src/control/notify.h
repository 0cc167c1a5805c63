/* notify.h - tells the supervisor that started this process how it is: systemd's protocol, one
 * datagram to the socket that NOTIFY_SOCKET names. Without that variable nobody wants to know.
 *
 * Thread: any. Memory: none. */
#ifndef CONTROL_NOTIFY_H
#define CONTROL_NOTIFY_H

/* Sends lines such as "READY=1\nMAINPID=7". 0, also when nobody listens for it, or a negative
 * UV_E…. Never waits. */
int notify_send(const char *lines);

/* "READY=1" with this process's id, which a handover changes. What goes wrong is logged. */
void notify_ready(void);
void notify_stopping(void);

#endif
