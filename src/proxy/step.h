/* step.h - what a step of an exchange says to exchange.c, which alone knows what comes next.
 *
 * Thread: the worker's. Memory: none. */
#ifndef PROXY_STEP_H
#define PROXY_STEP_H

enum step_result {
    STEP_NEXT = 0,
    STEP_WAIT,
    STEP_RETRY,  /* on to another try */
    STEP_ANSWER, /* weir answers itself, by exchange->answer */
    STEP_CUT,    /* the response cannot be ended as it began */
    STEP_DONE,
};

#endif
