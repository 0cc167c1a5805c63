#include "admin/metrics.h"

#include "admin/problem.h"
#include "admin/server.h"
#include "base/metrics_text.h"

void admin_metrics(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    char *text;
    size_t len;
    if (!node->metrics)
        admin_request_answer_not_found(request);
    else if (node->metrics(node->control, &text, &len))
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
    else
        admin_request_answer_text(request, METRICS_TEXT_TYPE, text, len);
}
