/* How clients come and go: with 1,000 operations open, from two threads, at exit, over a fork; and what is left.
   PROGRAM ENDPOINTS [exit]   (mem://NAME, or servers of etcd) */
#include "harness.h"
#include <sys/wait.h>

#define MANY 1000

static const char *endpoints;

static void submit_many(etcd_client *client, etcd_queue *queue) {
  etcd_request *requests[] = {etcd_request_get(TEXT("life")), etcd_request_put(TEXT("life"), TEXT("v")),
                              etcd_request_watch(TEXT("life")), etcd_request_status(),
                              etcd_request_get(TEXT("life"))};
  for (uint64_t tag = 1; tag <= MANY; tag++) {
    DONE(etcd_submit(client, queue, requests[tag % 5], tag, 20000, NULL));
  }
  for (int n = 0; n < 5; n++) {
    etcd_request_free(requests[n]);
  }
}

/* Each tag has had its last event, once; none comes later. */
static void all_have_ended(etcd_queue *queue, int watches_only) {
  int last_events[MANY + 1] = {0};
  etcd_event *event;
  etcd_status status;
  while ((status = etcd_queue_next(queue, 0, &event)) == ETCD_OK) {
    uint64_t tag = etcd_event_tag(event);
    CHECK(tag >= 1 && tag <= MANY && !last_events[tag]);
    last_events[tag] = etcd_event_is_last(event);
    status = etcd_event_status(event);
    CHECK(status == ETCD_OK || status == ETCD_ERR_CLOSED);
    CHECK(!watches_only || status == ETCD_OK || tag % 5 == 2);
    CHECK(tag % 5 != 2 || !etcd_event_is_last(event) || status == ETCD_ERR_CLOSED);
    etcd_event_free(event);
  }
  GIVES(ETCD_ERR_TIMEOUT, status);
  for (int tag = 1; tag <= MANY; tag++) {
    CHECK(last_events[tag] == 1);
  }
}

static void every_call_fails(etcd_client *client, etcd_queue *queue, etcd_status status) {
  etcd_request *request = etcd_request_get(TEXT("life")), *watch = etcd_request_watch(TEXT("life"));
  etcd_watcher *watcher;
  etcd_pages *pages;
  GIVES(status, etcd_call(client, request, -1, NULL, NULL, NULL));
  GIVES(status, etcd_submit(client, queue, request, 1, -1, NULL));
  GIVES(status, etcd_submit(client, queue, watch, 1, -1, NULL));
  GIVES(status, etcd_watcher_open(client, watch, -1, &watcher, NULL));
  GIVES(status, etcd_pages_open(client, request, &pages, NULL));
  GIVES(status, etcd_client_close(client, 0, NULL));
  CHECK(watcher == NULL && pages == NULL && etcd_client_counter(client, ETCD_COUNTER_OPEN) == -1);
  errno = 0;
  CHECK(etcd_get(client, "life") == NULL && errno == EBADF);
  etcd_client_free(client);
  etcd_request_free(request);
  etcd_request_free(watch);
}

/* Closing waits for what was submitted. */
static void closes_gracefully(void) {
  etcd_client *client = open_client(endpoints, (char *)NULL);
  etcd_queue *queue = new_queue(0);
  submit_many(client, queue);
  DONE(etcd_client_close(client, 20000, NULL));
  all_have_ended(queue, 1);
  every_call_fails(client, queue, ETCD_ERR_CLOSED);
  etcd_queue_free(queue);
}

/* Freeing does not. */
static void frees_at_once(void) {
  etcd_client *client = open_client(endpoints, (char *)NULL);
  etcd_queue *queue = new_queue(0);
  submit_many(client, queue);
  etcd_client_free(client);
  every_call_fails(client, queue, ETCD_ERR_CLOSED);
  double until = now() + 20;
  int last_events[MANY + 1] = {0};
  for (int ended = 0; ended < MANY; CHECK(now() < until)) {
    etcd_event *event = next_event(queue);
    uint64_t tag = etcd_event_tag(event);
    CHECK(!last_events[tag]);
    last_events[tag] = etcd_event_is_last(event);
    ended += last_events[tag];
    etcd_event_free(event);
  }
  etcd_event *event;
  GIVES(ETCD_ERR_TIMEOUT, etcd_queue_next(queue, 20, &event));
  etcd_queue_free(queue);
}

static pthread_barrier_t together;

static void *closes(void *argument) {
  pthread_barrier_wait(&together);
  etcd_status status = etcd_client_close(*(etcd_client **)argument, 20000, NULL);
  CHECK(status == ETCD_OK || status == ETCD_ERR_CLOSED);
  return (void *)(intptr_t)status;
}

static void closes_from_two_threads(void) {
  CHECK(pthread_barrier_init(&together, NULL, 2) == 0);
  for (int round = 0; round < 8; round++) {
    etcd_client *client = open_client(endpoints, (char *)NULL);
    etcd_queue *queue = new_queue(0);
    pthread_t one;
    submit_many(client, queue);
    start(&one, closes, &client);
    void *theirs, *ours = closes(&client);
    CHECK(pthread_join(one, &theirs) == 0);
    CHECK((theirs == NULL) != (ours == NULL));
    all_have_ended(queue, 1);
    etcd_queue_free(queue);
  }
}

/* Closing takes with it all that the library had for the client. */
static void leaves_nothing(void) {
  int files;
  threads_come_to(1); /* those of clients that were freed */
  files = files_now();
  for (int round = 0; round < 6; round++) {
    etcd_client *client = open_client(endpoints, (char *)NULL);
    etcd_queue *queue = new_queue(0);
    CHECK(etcd_queue_fd(queue) >= 0);
    submit_many(client, queue);
    if (round % 2) {
      put(client, "life", "v");
    }
    DONE(etcd_client_close(client, 20000, NULL));
    /* A stream's own thread may be the last one to close a connection. */
    threads_come_to(1);
    CHECK(files_now() == files + 2);
    etcd_queue_free(queue);
    CHECK(files_now() == files);
  }
}

/* A thread that ends in the middle of it all, holding a lock with a hold that nobody frees. */
static void *ends_in_the_middle(void *argument) {
  etcd_client *client = open_client(endpoints, (char *)NULL);
  etcd_queue *queue = new_queue(0), *other = new_queue(0), *freed = new_queue(0);
  etcd_request *lock = etcd_request_lock(TEXT("life/lock"));
  etcd_hold *hold;
  (void)argument;
  DONE(etcd_free_with_thread(client, queue));
  DONE(etcd_free_with_thread(client, freed));
  DONE(etcd_free_with_thread(client, other));
  DONE(etcd_free_with_thread(client, other));
  etcd_queue_free(freed);
  GIVES(ETCD_ERR_CLOSED, etcd_free_with_thread(client, freed));
  CHECK(etcd_queue_fd(queue) >= 0 && etcd_queue_fd(other) >= 0);
  DONE(etcd_request_set_int(lock, ETCD_FIELD_TTL, 600));
  DONE(etcd_submit(client, queue, lock, 1, -1, NULL));
  etcd_request_free(lock);
  etcd_event *event = next_event(queue);
  GIVES(ETCD_EVENT_ACQUIRED, etcd_event_kind(event));
  etcd_event_free(event);
  DONE(etcd_queue_take_hold(queue, 1, &hold));
  CHECK(etcd_hold_is_held(hold));
  submit_many(client, other);
  return NULL;
}

static void ends_with_its_thread(void) {
  threads_come_to(1);
  int files = files_now();
  for (int round = 0; round < 4; round++) {
    etcd_client *next = open_client(endpoints, (char *)NULL);
    etcd_request *lock = etcd_request_lock(TEXT("life/lock"));
    etcd_hold *hold;
    pthread_t one;
    start(&one, ends_in_the_middle, NULL);
    CHECK(pthread_join(one, NULL) == 0);
    DONE(etcd_acquire(next, lock, 60000, NULL, &hold, NULL)); /* long before its TTL */
    etcd_request_free(lock);
    etcd_hold_free(hold);
    DONE(etcd_client_close(next, 20000, NULL));
    threads_come_to(1);
    CHECK(files_now() == files);
  }
}

/* == Forks ================================================================================================= */

struct inherited {
  etcd_client *client;
  etcd_queue *queue;
  etcd_cancel *cancel;
  etcd_watcher *watcher;
  etcd_pages *pages;
  etcd_request *request;
  etcd_reply *reply;
  etcd_event *event;
};

/* Nothing of the parent's but values. */
static void in_child(struct inherited *of_parent) {
  etcd_event *event;
  etcd_reply *reply;
  uint64_t buffer[8];
  size_t used;
  uint32_t records;
  every_call_fails(of_parent->client, of_parent->queue, ETCD_ERR_FORKED);
  GIVES(ETCD_ERR_FORKED, etcd_queue_next(of_parent->queue, -1, &event));
  GIVES(ETCD_ERR_FORKED, etcd_queue_read(of_parent->queue, (uint8_t *)buffer, sizeof buffer, &used, &records));
  GIVES(ETCD_ERR_FORKED, etcd_queue_take_reply(of_parent->queue, 1, &reply));
  GIVES(ETCD_ERR_FORKED, etcd_queue_cancel(of_parent->queue, 1));
  GIVES(ETCD_ERR_FORKED, etcd_watcher_next(of_parent->watcher, -1, &event));
  GIVES(ETCD_ERR_FORKED, etcd_pages_next(of_parent->pages, -1, NULL, &reply, NULL));
  CHECK(etcd_queue_fd(of_parent->queue) == -1 && etcd_queue_dup_fd(of_parent->queue) == -1);
  CHECK(etcd_queue_bytes(of_parent->queue) == -1);
  etcd_queue_wake(of_parent->queue);
  etcd_watcher_wake(of_parent->watcher);
  etcd_cancel_trigger(of_parent->cancel);

  etcd_client *client = open_client(endpoints, (char *)NULL);
  etcd_queue *queue = new_queue(0);
  GIVES(ETCD_ERR_FORKED, etcd_call(client, of_parent->request, -1, of_parent->cancel, NULL, NULL));
  GIVES(ETCD_ERR_FORKED, etcd_submit(client, of_parent->queue, of_parent->request, 1, -1, NULL));
  DONE(etcd_call(client, of_parent->request, 20000, NULL, &reply, NULL));
  CHECK(etcd_reply_count(of_parent->reply) == 1 && etcd_event_tag(of_parent->event) == 1);
  submit_many(client, queue);
  DONE(etcd_client_close(client, 20000, NULL));
  all_have_ended(queue, 1);
  etcd_reply_free(reply);
  etcd_queue_free(queue);

  etcd_queue_free(of_parent->queue);
  etcd_watcher_free(of_parent->watcher);
  etcd_pages_free(of_parent->pages);
  etcd_cancel_free(of_parent->cancel);
  etcd_request_free(of_parent->request);
  etcd_reply_free(of_parent->reply);
  etcd_event_free(of_parent->event);
}

static void goes_on_in_parent(struct inherited *ours) {
  etcd_reply *page;
  put(ours->client, "life", "after the fork");
  for (;;) {
    etcd_event *event;
    DONE(etcd_watcher_next(ours->watcher, 20000, &event));
    int seen = etcd_event_kind(event) == ETCD_EVENT_CHANGES;
    etcd_event_free(event);
    if (seen) {
      break;
    }
  }
  DONE(etcd_pages_next(ours->pages, 20000, NULL, &page, NULL));
  etcd_reply_free(page);
  etcd_queue_free(ours->queue);
  etcd_watcher_free(ours->watcher);
  etcd_pages_free(ours->pages);
  etcd_cancel_free(ours->cancel);
  etcd_request_free(ours->request);
  etcd_reply_free(ours->reply);
  etcd_event_free(ours->event);
  DONE(etcd_client_close(ours->client, 20000, NULL));
}

static void forks(void) {
  struct inherited all;
  etcd_request *watch = etcd_request_watch(TEXT("life"));
  all.client = open_client(endpoints, (char *)NULL);
  all.queue = new_queue(0);
  all.cancel = etcd_cancel_new();
  all.request = etcd_request_get(TEXT("life"));
  put(all.client, "life", "v");
  DONE(etcd_call(all.client, all.request, 20000, NULL, &all.reply, NULL));
  DONE(etcd_submit(all.client, all.queue, all.request, 1, 20000, NULL));
  all.event = next_event(all.queue);
  DONE(etcd_watcher_open(all.client, watch, 20000, &all.watcher, NULL));
  DONE(etcd_pages_open(all.client, all.request, &all.pages, NULL));
  etcd_request_free(watch);
  submit_many(all.client, all.queue);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    in_child(&all);
    /* Another program, since what is left of the parent is no leak. */
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  goes_on_in_parent(&all);
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s ENDPOINTS [exit]\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  endpoints = argv[1];
  if (argc > 2) {
    submit_many(open_client(endpoints, (char *)NULL), new_queue(0));
    return end();
  }
  RUN(closes_gracefully);
  RUN(frees_at_once);
  RUN(closes_from_two_threads);
  RUN(leaves_nothing);
  RUN(ends_with_its_thread);
  for (int round = 0; round < 4; round++) {
    RUN(forks);
  }
  return end();
}
