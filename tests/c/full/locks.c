/* Locks: what breaking one tells, and a release that finds nothing, told by its call and by the lock's own tag. */
#include "harness.h"

#define LOCK 1
#define RELEASE 2

static etcd_client *holding, *breaking;

/* Gets a lock through a queue. */
static etcd_hold *acquired(etcd_queue *queue) {
  etcd_request *lock = etcd_request_lock(TEXT("locks"));
  DONE(etcd_submit(holding, queue, lock, LOCK, 20000, NULL));
  etcd_request_free(lock);
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_kind(event) == ETCD_EVENT_ACQUIRED);
  etcd_event_free(event);
  etcd_hold *hold;
  DONE(etcd_queue_take_hold(queue, LOCK, &hold));
  return hold;
}

/* Another client breaks it. Returns the revision. */
static int64_t break_it(const etcd_hold *hold) {
  etcd_reply *reply = must(breaking, etcd_request_lock_break(TEXT("locks"), etcd_hold_token(hold)));
  int64_t revision = etcd_reply_revision(reply);
  CHECK(etcd_reply_kvs(reply) == 1);
  etcd_reply_free(reply);
  return revision;
}

static void a_break_tells_its_revision(etcd_queue *queue) {
  doing = "a break";
  etcd_hold *hold = acquired(queue);
  int64_t before = put(breaking, "before", "");
  CHECK(break_it(hold) == before + 1);
  CHECK(put(breaking, "after", "") == before + 2);
  etcd_hold_free(hold);
  for (int last = 0; !last;) {
    etcd_event *event = next_event(queue);
    last = etcd_event_is_last(event);
    etcd_event_free(event);
  }
}

/* Releases a hold that was just broken; the holder may or may not know. Returns whether it did not. */
static int release_nothing(etcd_queue *queue, int by_call) {
  etcd_hold *hold = acquired(queue);
  break_it(hold);
  etcd_request *release = etcd_request_release(hold);
  int answered = by_call, ended = 0, unaware = 0;
  if (by_call) {
    GIVES(ETCD_ERR_NOT_HELD, etcd_call(holding, release, 20000, NULL, NULL, NULL));
  } else {
    DONE(etcd_submit(holding, queue, release, RELEASE, 20000, NULL));
  }
  etcd_request_free(release);
  while (!answered || !ended) {
    etcd_event *event = next_event(queue);
    CHECK(etcd_event_is_last(event));
    if (etcd_event_tag(event) == RELEASE) {
      GIVES(ETCD_ERR_NOT_HELD, etcd_event_status(event));
      answered = 1;
    } else {
      unaware = etcd_event_kind(event) == ETCD_EVENT_REPLY;
      CHECK(unaware || etcd_event_kind(event) == ETCD_EVENT_LOST);
      GIVES(unaware ? ETCD_ERR_NOT_HELD : ETCD_ERR_LOST, etcd_event_status(event));
      ended = 1;
    }
    etcd_event_free(event);
  }
  etcd_hold_free(hold);
  return unaware;
}

static void a_release_that_finds_nothing_is_told_alike(etcd_queue *queue) {
  for (int by_call = 0; by_call < 2; by_call++) {
    int times = 0;
    doing = by_call ? "a release by a call" : "a release by a queue";
    for (int round = 0; round < 200 && times < 3; round++) {
      times += release_nothing(queue, by_call);
    }
    CHECK(times > 0);
  }
}

int main(int argc, char **argv) {
  const char *endpoints = argc > 1 ? argv[1] : "mem://locks";
  holding = open_client(endpoints, NULL);
  breaking = open_client(endpoints, NULL);
  wipe(breaking);
  etcd_queue *queue = new_queue(0);
  a_break_tells_its_revision(queue);
  a_release_that_finds_nothing_is_told_alike(queue);
  etcd_queue_free(queue);
  DONE(etcd_client_close(holding, 20000, NULL));
  DONE(etcd_client_close(breaking, 20000, NULL));
  printf("%d checks\n", checks);
  return 0;
}
