/* Holds in the hands of several threads, and of programs that end things in any order: clients, queues, tags, processes.
   PROGRAM ENDPOINTS   (mem://NAME, or servers of etcd) */
#include "harness.h"
#include <sys/wait.h>

static const char *endpoints;
/* Stays open all the time, so that a store in memory does, too. */
static etcd_client *client;

static etcd_request *lock_with(const char *name, int64_t ttl) {
  etcd_request *lock = etcd_request_lock(TEXT(name));
  DONE(etcd_request_set_int(lock, ETCD_FIELD_TTL, ttl));
  return lock;
}

/* Takes the lock, waiting for others if need be. */
static etcd_hold *acquire_with(etcd_client *by, const char *name, int64_t ttl) {
  etcd_request *lock = lock_with(name, ttl);
  etcd_hold *hold = NULL;
  DONE(etcd_acquire(by, lock, 20000, NULL, &hold, NULL));
  etcd_request_free(lock);
  CHECK(etcd_hold_is_held(hold) && etcd_hold_remaining_ms(hold) > 0 && etcd_hold_token(hold) > 0);
  return hold;
}

/* For so long that nobody gets it by the end of a lease. */
static etcd_hold *acquire(const char *name) {
  return acquire_with(client, name, 300);
}

static void submit(etcd_client *by, etcd_queue *queue, etcd_request *request, uint64_t tag) {
  DONE(etcd_submit(by, queue, request, tag, -1, NULL));
  etcd_request_free(request);
}

static etcd_status called(etcd_request *request) {
  etcd_status status = etcd_call(client, request, 20000, NULL, NULL, NULL);
  etcd_request_free(request);
  return status;
}

static size_t queue_length(const char *name) {
  etcd_reply *places = must(client, etcd_request_lock_queue(TEXT(name)));
  size_t length = etcd_reply_count(places);
  etcd_reply_free(places);
  return length;
}

/* So many come to stand in its queue. */
static void queue_comes_to(const char *name, size_t wanted) {
  double until = now() + 10;
  while (queue_length(name) != wanted) {
    CHECK(now() < until);
    nap(0.01);
  }
}

static int not_held(const etcd_hold *hold) {
  return !etcd_hold_is_held(hold) && etcd_hold_remaining_ms(hold) == 0;
}

/* The next event is of this kind and tag; only ETCD_EVENT_ACQUIRED is not the last one of its tag. */
static void comes(etcd_queue *queue, int32_t kind, uint64_t tag, etcd_status status) {
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_kind(event) == kind && etcd_event_tag(event) == tag);
  CHECK(etcd_event_is_last(event) == (kind != ETCD_EVENT_ACQUIRED));
  GIVES(status, etcd_event_status(event));
  etcd_event_free(event);
}

static void nothing_comes(etcd_queue *queue) {
  etcd_event *event;
  GIVES(ETCD_ERR_TIMEOUT, etcd_queue_next(queue, 0, &event));
}

/* == Threads ============================================================================================== */

#define THREADS 4
#define ROUNDS 8

static pthread_mutex_t inside = PTHREAD_MUTEX_INITIALIZER;
static int64_t newest;

static void *holds_again_and_again(void *unused) {
  for (int round = 0; round < ROUNDS; round++) {
    etcd_hold *hold = acquire("threads");
    CHECK(pthread_mutex_trylock(&inside) == 0); /* nobody else holds it */
    CHECK(etcd_hold_token(hold) > newest);
    newest = etcd_hold_token(hold);
    pthread_mutex_unlock(&inside);
    if (round % 2) {
      GIVES(ETCD_OK, called(etcd_request_release(hold)));
      CHECK(not_held(hold));
    }
    etcd_hold_free(hold);
  }
  return unused;
}

/* Of one client, on one name: one at a time all the same. */
static void threads_take_turns(void) {
  pthread_t threads[THREADS];
  newest = 0;
  for (int n = 0; n < THREADS; n++) {
    start(&threads[n], holds_again_and_again, NULL);
  }
  for (int n = 0; n < THREADS; n++) {
    join(threads[n]);
  }
  queue_comes_to("threads", 0);
}

static void *acquires(void *out) {
  *(etcd_hold **)out = acquire("elsewhere");
  return NULL;
}

static void *releases(void *hold) {
  GIVES(ETCD_OK, called(etcd_request_release((etcd_hold *)hold)));
  return NULL;
}

/* A hold belongs to no thread. */
static void another_thread_releases(void) {
  pthread_t first, second;
  etcd_hold *hold = NULL;
  start(&first, acquires, &hold);
  join(first);
  CHECK(etcd_hold_is_held(hold));
  start(&second, releases, hold);
  join(second);
  CHECK(not_held(hold) && etcd_hold_token(hold) > 0 && queue_length("elsewhere") == 0);
  etcd_hold_free(hold);
  etcd_hold_free(acquire("elsewhere"));
}

static void *looks_until_it_is_freed(void *hold) {
  const etcd_hold *shared = (const etcd_hold *)hold;
  uint8_t key[100];
  size_t length;
  etcd_status status;
  do {
    (void)etcd_hold_is_held(shared);
    (void)etcd_hold_remaining_ms(shared);
    status = etcd_hold_key(shared, key, sizeof key, &length);
  } while (status == ETCD_OK);
  GIVES(ETCD_ERR_CLOSED, status);
  CHECK(not_held(shared) && etcd_hold_token(shared) == 0);
  return NULL;
}

static void freed_while_others_look(void) {
  pthread_t threads[THREADS];
  etcd_hold *hold = acquire("looked at");
  for (int n = 0; n < THREADS; n++) {
    start(&threads[n], looks_until_it_is_freed, hold);
  }
  nap(0.01);
  etcd_hold_free(hold);
  for (int n = 0; n < THREADS; n++) {
    join(threads[n]);
  }
  queue_comes_to("looked at", 0);
}

/* == Clients and queues that go first ===================================================================== */

/* It is lost, and that is told; its memory stays. */
static void is_lost(etcd_hold *hold, int64_t token) {
  uint8_t key[100];
  size_t length;
  CHECK(not_held(hold) && etcd_hold_token(hold) == token);
  DONE(etcd_hold_key(hold, key, sizeof key, &length));
  GIVES(ETCD_ERR_NOT_HELD, called(etcd_request_release(hold)));
  GIVES(ETCD_ERR_NOT_HELD, called(etcd_request_proclaim(hold, TEXT("v"))));
  etcd_request *txn = etcd_request_txn(), *write = etcd_request_put(TEXT("guarded"), TEXT("late"));
  DONE(etcd_hold_guard(hold, txn));
  DONE(etcd_txn_then(txn, write));
  etcd_request_free(write);
  etcd_reply *reply = must(client, txn);
  CHECK(!etcd_reply_succeeded(reply));
  etcd_reply_free(reply);
  etcd_hold_free(hold);
}

/* Closing ends the leases: the next one need not wait for their TTLs. */
static void client_is_closed_first(void) {
  etcd_client *closed = open_client(endpoints, (char *)NULL);
  etcd_queue *queue = new_queue(0);
  etcd_hold *hold = acquire_with(closed, "closed", 300), *taken;
  int64_t token = etcd_hold_token(hold), other;
  submit(closed, queue, lock_with("closed, queued", 300), 1);
  comes(queue, ETCD_EVENT_ACQUIRED, 1, ETCD_OK);
  DONE(etcd_queue_take_hold(queue, 1, &taken));
  other = etcd_hold_token(taken);
  DONE(etcd_client_close(closed, 20000, NULL));
  comes(queue, ETCD_EVENT_LOST, 1, ETCD_ERR_CLOSED);
  etcd_hold *next = acquire("closed"), *another = acquire("closed, queued");
  is_lost(hold, token);
  is_lost(taken, other);
  CHECK(etcd_hold_is_held(next) && etcd_hold_is_held(another));
  etcd_hold_free(next);
  etcd_hold_free(another);
  etcd_queue_free(queue);
}

/* Freeing leaves them to their TTLs. */
static void client_is_freed_first(void) {
  etcd_client *freed = open_client(endpoints, (char *)NULL);
  etcd_hold *hold = acquire_with(freed, "freed", 2);
  int64_t token = etcd_hold_token(hold);
  etcd_client_free(freed);
  CHECK(not_held(hold));
  etcd_hold *next = acquire("freed");
  CHECK(etcd_hold_token(next) > token);
  is_lost(hold, token);
  etcd_hold_free(next);
}

/* What its tags hold is released, taken or not; the client goes on. */
static void queue_is_freed_first(void) {
  etcd_queue *queue = new_queue(0);
  etcd_hold *taken, *next;
  submit(client, queue, lock_with("taken", 300), 1);
  submit(client, queue, lock_with("left", 300), 2);
  queue_comes_to("taken", 1);
  queue_comes_to("left", 1);
  for (int n = 0; n < 2; n++) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_kind(event) == ETCD_EVENT_ACQUIRED);
    etcd_event_free(event);
  }
  DONE(etcd_queue_take_hold(queue, 1, &taken));
  etcd_queue_free(queue);
  CHECK(not_held(taken));
  GIVES(ETCD_ERR_CLOSED, etcd_queue_take_hold(queue, 2, &next));
  next = acquire("taken");
  etcd_hold_free(next);
  next = acquire("left");
  etcd_hold_free(next);
  etcd_hold_free(taken);
}

/* == Tags ================================================================================================= */

static void taken_once(void) {
  etcd_queue *queue = new_queue(0);
  etcd_hold *before = acquire("once"), *hold, *again;
  submit(client, queue, lock_with("once", 300), 1);
  queue_comes_to("once", 2);
  GIVES(ETCD_ERR_KEY_NOT_FOUND, etcd_queue_take_hold(queue, 1, &hold));
  etcd_hold_free(before);
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_kind(event) == ETCD_EVENT_ACQUIRED && etcd_event_tag(event) == 1);
  DONE(etcd_queue_take_hold(queue, 1, &hold));
  CHECK(etcd_hold_token(hold) == etcd_event_revision(event));
  etcd_event_free(event);
  GIVES(ETCD_ERR_KEY_NOT_FOUND, etcd_queue_take_hold(queue, 1, &again));
  CHECK(again == NULL && etcd_hold_is_held(hold));
  /* It is the tag's end, too. */
  etcd_hold_free(hold);
  comes(queue, ETCD_EVENT_REPLY, 1, ETCD_OK);
  nothing_comes(queue);
  queue_comes_to("once", 0);
  etcd_queue_free(queue);
}

/* A tag that waits is canceled, and one that holds: the last event says which it was. */
static void canceled_while_held(void) {
  etcd_queue *queue = new_queue(0);
  etcd_hold *hold, *again;
  submit(client, queue, lock_with("canceled", 300), 1);
  comes(queue, ETCD_EVENT_ACQUIRED, 1, ETCD_OK);
  submit(client, queue, lock_with("canceled", 300), 2);
  submit(client, queue, lock_with("canceled", 300), 3);
  queue_comes_to("canceled", 3);
  DONE(etcd_queue_cancel(queue, 2));
  comes(queue, ETCD_EVENT_REPLY, 2, ETCD_ERR_CANCELED);
  queue_comes_to("canceled", 2);
  DONE(etcd_queue_take_hold(queue, 1, &hold));
  DONE(etcd_queue_cancel(queue, 1));
  DONE(etcd_queue_cancel(queue, 1));
  CHECK(not_held(hold));
  for (int n = 0; n < 2; n++) { /* whichever is told first */
    etcd_event *event = next_event(queue);
    int released = etcd_event_tag(event) == 1;
    CHECK(etcd_event_kind(event) == (released ? ETCD_EVENT_REPLY : ETCD_EVENT_ACQUIRED));
    GIVES(ETCD_OK, etcd_event_status(event));
    etcd_event_free(event);
  }
  GIVES(ETCD_ERR_KEY_NOT_FOUND, etcd_queue_take_hold(queue, 1, &again));
  GIVES(ETCD_ERR_NOT_HELD, called(etcd_request_release(hold)));
  etcd_hold_free(hold);
  /* Not taken. */
  DONE(etcd_queue_cancel(queue, 3));
  comes(queue, ETCD_EVENT_REPLY, 3, ETCD_OK);
  nothing_comes(queue);
  queue_comes_to("canceled", 0);
  etcd_queue_free(queue);
}

/* Who comes while it is being released has released it, too; who comes later finds that it is not held any more. */
static void released_twice(void) {
  etcd_queue *queue = new_queue(0);
  etcd_hold *hold;
  submit(client, queue, lock_with("twice", 300), 1);
  comes(queue, ETCD_EVENT_ACQUIRED, 1, ETCD_OK);
  DONE(etcd_queue_take_hold(queue, 1, &hold));
  submit(client, queue, etcd_request_release(hold), 2);
  submit(client, queue, etcd_request_release(hold), 3);
  etcd_request *late = etcd_request_release(hold);
  int done = 0, not_any_more = 0, ended = 0;
  for (int n = 0; n < 3; n++) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_kind(event) == ETCD_EVENT_REPLY);
    etcd_status status = etcd_event_status(event);
    if (etcd_event_tag(event) == 1) {
      GIVES(ETCD_OK, status);
      ended++;
    } else {
      CHECK(status == ETCD_OK || status == ETCD_ERR_NOT_HELD);
      done += status == ETCD_OK;
      not_any_more += status == ETCD_ERR_NOT_HELD;
    }
    etcd_event_free(event);
  }
  CHECK(ended == 1 && done >= 1 && done + not_any_more == 2);
  etcd_hold_free(hold); /* the request keeps it */
  nothing_comes(queue);
  GIVES(ETCD_ERR_NOT_HELD, called(late));
  CHECK(queue_length("twice") == 0);
  etcd_queue_free(queue);
}

/* == Forks ================================================================================================ */

static void in_child(etcd_hold *of_parent) {
  uint8_t key[100];
  size_t length;
  etcd_hold *taken;
  CHECK(not_held(of_parent) && etcd_hold_token(of_parent) == 0);
  GIVES(ETCD_ERR_FORKED, etcd_hold_key(of_parent, key, sizeof key, &length));
  client = open_client(endpoints, (char *)NULL);
  GIVES(ETCD_ERR_FORKED, called(etcd_request_release(of_parent)));
  GIVES(ETCD_ERR_FORKED, called(etcd_request_proclaim(of_parent, TEXT("v"))));
  etcd_request *txn = etcd_request_txn();
  GIVES(ETCD_ERR_FORKED, etcd_hold_guard(of_parent, txn));
  GIVES(ETCD_ERR_FORKED, called(txn)); /* never without its guard */
  etcd_hold_free(of_parent);
  /* Its own are its own. */
  taken = acquire("of the child");
  etcd_hold_free(taken);
  DONE(etcd_client_close(client, 20000, NULL));
}

static void forks(void) {
  etcd_hold *hold = acquire("forked");
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60);
    in_child(hold);
    /* Another program, since what is left of the parent is no leak. */
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(etcd_hold_is_held(hold) && queue_length("forked") == 1);
  GIVES(ETCD_OK, called(etcd_request_release(hold)));
  etcd_hold_free(hold);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s ENDPOINTS\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  endpoints = argv[1];
  client = open_client(endpoints, (char *)NULL);
  wipe(client);
  RUN(threads_take_turns);
  RUN(another_thread_releases);
  RUN(freed_while_others_look);
  RUN(client_is_closed_first);
  RUN(client_is_freed_first);
  RUN(queue_is_freed_first);
  RUN(taken_once);
  RUN(canceled_while_held);
  RUN(released_twice);
  RUN(forks);
  DONE(etcd_client_close(client, 20000, NULL));
  return end();
}
