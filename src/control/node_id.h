/* node_id.h - who this node is, over restarts: a UUID in a file of the data folder, as Kong keeps
 * its kong.id.
 *
 * The id is the process's that has the file locked. Another process on the same folder has one of
 * its own for as long: the new one of a handover until the old one has ended, then it takes the
 * kept id over; a second node that was given the folder of a first, too.
 *
 * Thread: control. Memory: embedded; the text is borrowed by all who say who we are. */
#ifndef CONTROL_NODE_ID_H
#define CONTROL_NODE_ID_H

#include <stdbool.h>

#include "base/random.h"

struct node_id {
    char text[UUID_TEXT_BYTES];
    int fd;       /* of the file; -1: none, and the id lasts as long as the process */
    bool is_kept; /* the text is the file's, which is locked */
};

/* Reads the file, or writes one. Where that can't be, the log says so and the id is new. */
void node_id_init(struct node_id *id, const char *data_dir);
/* Looks whether the kept id has become free. True: it is ours now, and the text another one. */
bool node_id_claim(struct node_id *id);
/* Lets another process have it. Harmless twice, and for one that is zeroed but for fd -1. */
void node_id_deinit(struct node_id *id);

#endif
