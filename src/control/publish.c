#include "control/publish.h"

#include <stdlib.h>

#include "base/log.h"

struct retirement;

struct retire_mail {
    struct mail mail; /* first: a mail is its retire_mail */
    struct retirement *retirement;
};

struct retirement {
    _Atomic unsigned left; /* workers that have not heard */
    struct endpoints *old; /* owned */
    struct retire_mail mails[];
};

void publish_snapshot(struct worker *const *workers, unsigned count, struct snapshot *snapshot)
{
    for (unsigned i = 0; i < count; i++)
        worker_publish(workers[i], snapshot_ref(snapshot));
    snapshot_unref(snapshot);
}

static void on_retire(struct mail *mail, void *owner)
{
    struct retirement *retirement = ((struct retire_mail *)mail)->retirement;
    worker_endpoints_changed(owner, retirement->old);
    if (atomic_fetch_sub_explicit(&retirement->left, 1, memory_order_acq_rel) != 1)
        return;
    endpoints_destroy(retirement->old);
    free(retirement);
}

void publish_retire(struct worker *const *workers, unsigned count, struct endpoints *old)
{
    if (count == 0) { /* before the workers start and after they stopped, nobody reads them */
        endpoints_destroy(old);
        return;
    }
    struct retirement *retirement =
        calloc(1, sizeof(*retirement) + count * sizeof(retirement->mails[0]));
    if (!retirement) { /* leaking is the one safe thing left: a worker may be reading it */
        log_crit("no memory to retire endpoints");
        return;
    }
    atomic_init(&retirement->left, count);
    retirement->old = old;
    for (unsigned i = 0; i < count; i++) {
        retirement->mails[i] = (struct retire_mail){{.deliver = on_retire}, retirement};
        worker_post(workers[i], &retirement->mails[i].mail);
    }
}
