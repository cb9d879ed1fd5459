/* Timeouts and cancelling where a server says nothing.
   PROGRAM ENDPOINTS cold|warm [signals]
   warm: prints "connected" after a first answer, and begins when it gets SIGUSR1. signals: a signal comes every 5 ms,
   to a handler that does not restart system calls. */
#include "harness.h"
#include <signal.h>
#include <sys/time.h>

static etcd_client *client;

static etcd_request *a_put(void) {
  return etcd_request_put(TEXT("silent"), TEXT("v"));
}

static void a_call(void) {
  etcd_request *requests[] = {etcd_request_get(TEXT("silent")), a_put(), etcd_request_status(),
                              etcd_request_lease_grant(60), etcd_request_txn()};
  for (size_t n = 0; n < sizeof requests / sizeof *requests; n++) {
    double began = now();
    etcd_reply *reply;
    etcd_status status = etcd_call(client, requests[n], 300, NULL, &reply, NULL);
    /* The system's own clocks may be a little early. */
    CHECK(now() >= began + 0.29 || n == 2);
    CHECK(in_time(now(), began + 0.3));
    if (n == 2) {
      /* That an endpoint did not answer is the answer. */
      int64_t how;
      DONE(status);
      DONE(etcd_reply_int(etcd_reply_child(reply, 0), ETCD_FIELD_STATUS, &how));
      GIVES(ETCD_ERR_TIMEOUT, (etcd_status)how);
    } else {
      GIVES(ETCD_ERR_TIMEOUT, status);
    }
    etcd_reply_free(reply);
    etcd_request_free(requests[n]);
  }
}

/* No time at all is enough for nothing that has to wait. */
static void no_time(void) {
  etcd_request *request = a_put();
  etcd_error *error;
  double began = now();
  GIVES(ETCD_ERR_TIMEOUT, etcd_call(client, request, 0, NULL, NULL, &error));
  CHECK(in_time(now(), began) && !etcd_error_is_outcome_unknown(error));
  etcd_error_free(error);
  etcd_request_free(request);
}

static void *triggers(void *cancel) {
  nap(0.1);
  etcd_cancel_trigger((etcd_cancel *)cancel);
  return NULL;
}

static void cancels_a_call(void) {
  etcd_cancel *cancel = etcd_cancel_new();
  etcd_request *request = a_put();
  pthread_t thread;
  double began = now();
  start(&thread, triggers, cancel);
  GIVES(ETCD_ERR_CANCELED, etcd_call(client, request, 20000, cancel, NULL, NULL));
  CHECK(in_time(now(), began + 0.1));
  join(thread);
  began = now();
  GIVES(ETCD_ERR_CANCELED, etcd_call(client, request, 20000, cancel, NULL, NULL));
  CHECK(in_time(now(), began));
  etcd_cancel_free(cancel);
  GIVES(ETCD_ERR_CLOSED, etcd_call(client, request, 20000, cancel, NULL, NULL));
  etcd_request_free(request);
}

#define MANY 200

static void submitted_at_once(void) {
  etcd_queue *queue = new_queue(0);
  double deadlines[MANY + 1];
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    etcd_request *request = tag % 10 == 0  ? etcd_request_watch(TEXT("silent"))
                            : tag % 10 == 1 ? etcd_request_status()
                            : tag % 2       ? a_put()
                                            : etcd_request_get(TEXT("silent"));
    int64_t timeout = 300 + (int64_t)tag;
    double began = now();
    DONE(etcd_submit(client, queue, request, tag, timeout, NULL));
    CHECK(in_time(now(), began));
    deadlines[tag] = now() + (double)timeout / 1e3;
    etcd_request_free(request);
  }
  for (int taken = 0; taken < MANY; taken++) {
    etcd_event *event = next_event(queue);
    uint64_t tag = etcd_event_tag(event);
    CHECK(etcd_event_is_last(event) && deadlines[tag] > 0 && in_time(now(), deadlines[tag]));
    if (tag % 10 == 1 && etcd_event_status(event) == ETCD_OK) {
      CHECK(etcd_reply_children(etcd_event_reply(event)) == 1);
    } else {
      GIVES(ETCD_ERR_TIMEOUT, etcd_event_status(event));
    }
    if (tag % 10 == 0) {
      CHECK(etcd_event_kind(event) == ETCD_EVENT_WATCH_END);
    }
    deadlines[tag] = 0;
    etcd_event_free(event);
  }
  etcd_queue_free(queue);
}

static void cancels_what_was_submitted(void) {
  etcd_queue *queue = new_queue(0);
  etcd_request *request = a_put(), *watch = etcd_request_watch(TEXT("silent"));
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    DONE(etcd_submit(client, queue, tag % 2 ? request : watch, tag, 20000, NULL));
  }
  nap(0.05);
  double began = now();
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    DONE(etcd_queue_cancel(queue, tag));
  }
  for (int taken = 0; taken < MANY; taken++) {
    etcd_event *event = next_event(queue);
    GIVES(ETCD_ERR_CANCELED, etcd_event_status(event));
    etcd_event_free(event);
  }
  CHECK(in_time(now(), began));
  etcd_request_free(request);
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

static void waits_for_events(void) {
  etcd_queue *queue = new_queue(0);
  etcd_event *event;
  etcd_watcher *watcher;
  etcd_request *watch = etcd_request_watch(TEXT("silent"));
  double began = now();
  GIVES(ETCD_ERR_TIMEOUT, etcd_queue_next(queue, 300, &event));
  CHECK(now() >= began + 0.29 && in_time(now(), began + 0.3));
  DONE(etcd_watcher_open(client, watch, 600, &watcher, NULL));
  began = now();
  GIVES(ETCD_ERR_TIMEOUT, etcd_watcher_next(watcher, 300, &event));
  CHECK(now() >= began + 0.29 && in_time(now(), began + 0.3));
  DONE(etcd_watcher_next(watcher, 20000, &event));
  CHECK(in_time(now(), began + 0.6) && etcd_event_kind(event) == ETCD_EVENT_WATCH_END);
  GIVES(ETCD_ERR_TIMEOUT, etcd_event_status(event));
  etcd_event_free(event);
  GIVES(ETCD_ERR_CLOSED, etcd_watcher_next(watcher, 20000, &event));
  etcd_watcher_free(watcher);
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

/* What is still open then is cut off in time. */
static void closes(void) {
  etcd_queue *queue = new_queue(0);
  etcd_request *request = a_put(), *watch = etcd_request_watch(TEXT("silent"));
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    DONE(etcd_submit(client, queue, tag % 2 ? request : watch, tag, 20000, NULL));
  }
  double began = now();
  etcd_error *error;
  GIVES(ETCD_ERR_TIMEOUT, etcd_client_close(client, 300, &error));
  CHECK(now() >= began + 0.29 && in_time(now(), began + 0.3));
  CHECK(!etcd_error_is_retriable(error)); /* it is closed all the same */
  etcd_error_free(error);
  for (int taken = 0; taken < MANY; taken++) {
    etcd_event *event;
    DONE(etcd_queue_next(queue, 0, &event));
    GIVES(ETCD_ERR_CLOSED, etcd_event_status(event));
    etcd_event_free(event);
  }
  etcd_request_free(request);
  etcd_request_free(watch);
  etcd_queue_free(queue);
}

static volatile sig_atomic_t alarms;

static void counts_alarms(int number) {
  alarms += number == SIGALRM;
}

static void disturb(void) {
  struct sigaction action;
  struct itimerval every;
  memset(&action, 0, sizeof action);
  action.sa_handler = counts_alarms;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  memset(&every, 0, sizeof every);
  every.it_interval.tv_usec = every.it_value.tv_usec = 5000;
  CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

/* Tells that it is connected, and waits to be told that nobody answers any more. */
static void wait_for_silence(void) {
  sigset_t told;
  int number;
  sigemptyset(&told);
  sigaddset(&told, SIGUSR1);
  put(client, "silent", "before");
  printf("connected\n");
  fflush(stdout);
  CHECK(sigwait(&told, &number) == 0);
}

int main(int argc, char **argv) {
  sigset_t all, alarms_only;
  pthread_t jitter;
  if (argc < 3) {
    fprintf(stderr, "usage: %s ENDPOINTS cold|warm [signals]\n", argv[0]);
    return 2;
  }
  /* Only this thread gets the alarms. */
  sigemptyset(&alarms_only);
  sigaddset(&alarms_only, SIGALRM);
  all = alarms_only;
  sigaddset(&all, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
  start(&jitter, measures_jitter, NULL);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &alarms_only, NULL) == 0);
  client = open_client(argv[1], "connect_timeout_ms", "10000", (char *)NULL);
  if (strcmp(argv[2], "warm") == 0) {
    wait_for_silence();
  }
  if (argc > 3) {
    disturb();
  }
  RUN(no_time);
  RUN(a_call);
  RUN(cancels_a_call);
  RUN(submitted_at_once);
  RUN(cancels_what_was_submitted);
  RUN(waits_for_events);
  RUN(closes);
  CHECK(argc <= 3 || alarms > 100);
  return end();
}
