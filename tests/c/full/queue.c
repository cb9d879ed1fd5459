/* The completion queue: tags, order, cancelling, many threads, waking, descriptors, small buffers, freeing.
   PROGRAM ENDPOINTS   (mem://NAME, or servers of etcd) */
#include "harness.h"
#include <fcntl.h>

static etcd_client *client;

static int64_t open_ones(void) {
  return etcd_client_counter(client, ETCD_COUNTER_OPEN);
}

static etcd_status submit(etcd_queue *queue, etcd_request *request, uint64_t tag) {
  etcd_status status = etcd_submit(client, queue, request, tag, 20000, NULL);
  etcd_request_free(request);
  return status;
}

static void nothing_comes(etcd_queue *queue) {
  etcd_event *event;
  GIVES(ETCD_ERR_TIMEOUT, etcd_queue_next(queue, 0, &event));
  CHECK(event == NULL);
}

static etcd_request *get(void) {
  return etcd_request_get(TEXT("queue/k"));
}

/* A watch is open as long as nobody ends it. */
static void open_watch(etcd_queue *queue, uint64_t tag) {
  DONE(submit(queue, everything(etcd_request_watch(TEXT("queue/"))), tag));
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_tag(event) == tag && etcd_event_watch_state(event) == ETCD_WATCH_LIVE);
  CHECK(!etcd_event_is_last(event) && etcd_event_kind(event) == ETCD_EVENT_WATCH_STATE);
  etcd_event_free(event);
}

static void ends(etcd_queue *queue, uint64_t tag, etcd_status status) {
  etcd_event *event = next_event(queue);
  CHECK(etcd_event_tag(event) == tag && etcd_event_is_last(event));
  GIVES(status, etcd_event_status(event));
  etcd_event_free(event);
}

/* == Tags ================================================================================================= */

static void tags(void) {
  etcd_queue *queue = new_queue(0);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, submit(queue, get(), 0));
  open_watch(queue, 5);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, submit(queue, get(), 5));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, submit(queue, etcd_request_watch(TEXT("k")), 5));
  nothing_comes(queue);
  DONE(etcd_queue_cancel(queue, 77));
  DONE(etcd_queue_cancel(queue, 5));
  DONE(etcd_queue_cancel(queue, 5));
  ends(queue, 5, ETCD_ERR_CANCELED);
  nothing_comes(queue);
  DONE(submit(queue, get(), 5));
  ends(queue, 5, ETCD_OK);
  DONE(submit(queue, get(), UINT64_MAX));
  ends(queue, UINT64_MAX, ETCD_OK);
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_submit(client, queue, NULL, 6, 0, NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_submit(NULL, queue, NULL, 6, 0, NULL));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, submit(queue, etcd_request_get(NULL, 3), 6));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, submit(NULL, get(), 6));
  nothing_comes(queue);
  etcd_queue_free(queue);
}

/* What a watch tells comes in the order of revisions, and its end last. */
static void order(void) {
  etcd_queue *queue = new_queue(0);
  open_watch(queue, 1);
  int64_t last = 0;
  for (int n = 0; n < 100; n++) {
    DONE(submit(queue, etcd_request_put(TEXT("queue/k"), TEXT("v")), 2 + (uint64_t)n));
  }
  for (int changes = 0, replies = 0; changes < 100 || replies < 100;) {
    etcd_event *event = next_event(queue);
    if (etcd_event_tag(event) == 1) {
      CHECK(etcd_event_kind(event) == ETCD_EVENT_CHANGES && etcd_event_revision(event) > last);
      last = etcd_event_revision(event);
      changes++;
    } else {
      GIVES(ETCD_OK, etcd_event_status(event));
      replies++;
    }
    etcd_event_free(event);
  }
  DONE(etcd_queue_cancel(queue, 1));
  ends(queue, 1, ETCD_ERR_CANCELED);
  nothing_comes(queue);
  etcd_queue_free(queue);
}

/* == Many threads ========================================================================================= */

#define THREADS 4
#define EACH 1500

struct crowd {
  etcd_queue *queue;
  pthread_mutex_t mutex;
  int last_events[THREADS * EACH + 1], taken, submitters;
  int reads;
};

static void ended(struct crowd *crowd, uint64_t tag) {
  pthread_mutex_lock(&crowd->mutex);
  CHECK(tag >= 1 && tag <= THREADS * EACH);
  crowd->last_events[tag]++;
  crowd->taken++;
  pthread_mutex_unlock(&crowd->mutex);
}

/* Cancels half of what it submits, from at once to some time later. */
static void *submits(void *argument) {
  struct crowd *crowd = (struct crowd *)argument;
  pthread_mutex_lock(&crowd->mutex);
  uint64_t first = 1 + (uint64_t)EACH * (uint64_t)crowd->submitters++;
  pthread_mutex_unlock(&crowd->mutex);
  uint32_t seed = (uint32_t)first + (uint32_t)getpid();
  for (uint64_t tag = first; tag < first + EACH; tag++) {
    uint32_t kind = dice(&seed) % 8;
    etcd_request *request = kind == 0   ? etcd_request_watch(TEXT("queue/k"))
                            : kind == 1 ? etcd_request_status()
                            : kind < 5  ? get()
                                        : etcd_request_put(TEXT("queue/other"), TEXT("v"));
    DONE(submit(crowd->queue, request, tag));
    if (kind == 0) {
      DONE(etcd_queue_cancel(crowd->queue, tag - dice(&seed) % 2 * (tag > first)));
      DONE(etcd_queue_cancel(crowd->queue, tag));
    } else if (kind % 2) {
      DONE(etcd_queue_cancel(crowd->queue, tag - dice(&seed) % (uint32_t)(tag - first + 1)));
    }
  }
  return NULL;
}

static void take_records(struct crowd *crowd) {
  static __thread uint64_t buffer[512];
  size_t used;
  uint32_t records;
  etcd_status status = etcd_queue_read(crowd->queue, (uint8_t *)buffer, sizeof buffer, &used, &records);
  CHECK(status == ETCD_OK || status == ETCD_ERR_CANCELED);
  const uint8_t *at = (const uint8_t *)buffer;
  for (size_t offset = 0; status == ETCD_OK && offset < used;) {
    uint32_t size;
    uint16_t flags;
    uint64_t tag;
    memcpy(&size, at + offset, 4);
    memcpy(&flags, at + offset + 6, 2);
    memcpy(&tag, at + offset + 8, 8);
    offset += size;
    if (flags & ETCD_PACKED_LAST) {
      ended(crowd, tag);
    }
    if (flags & ETCD_PACKED_TAKE) {
      etcd_reply *reply;
      DONE(etcd_queue_take_reply(crowd->queue, tag, &reply));
      etcd_reply_free(reply);
    }
  }
}

static int all_taken(struct crowd *crowd) {
  pthread_mutex_lock(&crowd->mutex);
  int all = crowd->taken >= THREADS * EACH;
  pthread_mutex_unlock(&crowd->mutex);
  return all;
}

static void *drains(void *argument) {
  struct crowd *crowd = (struct crowd *)argument;
  pthread_mutex_lock(&crowd->mutex);
  int reads = crowd->reads++ % 2;
  pthread_mutex_unlock(&crowd->mutex);
  while (!all_taken(crowd)) {
    if (reads) {
      CHECK(readable(etcd_queue_fd(crowd->queue), 20000) || all_taken(crowd));
      take_records(crowd);
      continue;
    }
    etcd_event *event;
    etcd_status status = etcd_queue_next(crowd->queue, 20000, &event);
    if (status == ETCD_ERR_CANCELED) {
      continue;
    }
    DONE(status);
    if (etcd_event_is_last(event)) {
      status = etcd_event_status(event);
      if (status != ETCD_OK && status != ETCD_ERR_CANCELED) {
        fprintf(stderr, "%s\n", etcd_error_message(etcd_event_error(event)));
        DONE(status);
      }
      ended(crowd, etcd_event_tag(event));
    }
    etcd_event_free(event);
  }
  /* The others may wait for what came to this one. */
  for (int n = 0; n < THREADS; n++) {
    etcd_queue_wake(crowd->queue);
  }
  return NULL;
}

static void crowd(void) {
  static struct crowd crowd;
  pthread_t threads[2 * THREADS];
  crowd.queue = new_queue(0);
  CHECK(pthread_mutex_init(&crowd.mutex, NULL) == 0);
  for (int n = 0; n < THREADS; n++) {
    start(&threads[n], submits, &crowd);
    start(&threads[THREADS + n], drains, &crowd);
  }
  for (int n = 0; n < 2 * THREADS; n++) {
    join(threads[n]);
  }
  etcd_event *event;
  etcd_status status;
  while ((status = etcd_queue_next(crowd.queue, 100, &event)) != ETCD_ERR_TIMEOUT) {
    GIVES(ETCD_ERR_CANCELED, status);
  }
  for (int tag = 1; tag <= THREADS * EACH; tag++) {
    CHECK(crowd.last_events[tag] == 1);
  }
  CHECK(open_ones() == 0);
  etcd_queue_free(crowd.queue);
}

/* == Waking and descriptors ================================================================================ */

static void *waits(void *argument) {
  etcd_event *event;
  etcd_status *status = (etcd_status *)argument;
  etcd_queue *queue = *(etcd_queue **)(void *)(status + 2);
  *status = etcd_queue_next(queue, 20000, &event);
  etcd_event_free(event);
  return NULL;
}

struct waiting {
  etcd_status status, unused;
  etcd_queue *queue;
  pthread_t thread;
};

static void wakes(void) {
  etcd_queue *queue = new_queue(0);
  etcd_event *event;
  struct waiting two[2];
  int fd = etcd_queue_fd(queue);
  etcd_queue_wake(queue);
  etcd_queue_wake(queue);
  CHECK(readable(fd, 0));
  GIVES(ETCD_ERR_CANCELED, etcd_queue_next(queue, -1, &event));
  CHECK(readable(fd, 0));
  GIVES(ETCD_ERR_CANCELED, etcd_queue_next(queue, 0, &event));
  CHECK(!readable(fd, 0));
  nothing_comes(queue);
  for (int n = 0; n < 2; n++) {
    two[n].queue = queue;
    two[n].status = -1;
    start(&two[n].thread, waits, &two[n].status);
  }
  nap(0.02); /* so that they wait, most likely; it is right in any case */
  etcd_queue_wake(queue);
  DONE(submit(queue, get(), 3));
  join(two[0].thread);
  join(two[1].thread);
  /* One was woken, one has the event. */
  CHECK(two[0].status != two[1].status);
  CHECK(two[0].status + two[1].status == ETCD_ERR_CANCELED);
  CHECK(!readable(fd, 0));
  etcd_queue_wake(NULL);
  etcd_queue_free(queue);
}

static void descriptors(void) {
  etcd_queue *queue = new_queue(0);
  DONE(submit(queue, get(), 1));
  while (open_ones() > 0) {
  }
  int fd = etcd_queue_fd(queue), copy = etcd_queue_dup_fd(queue);
  CHECK(fd >= 0 && copy >= 0 && fd != copy && etcd_queue_fd(queue) == fd);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(copy, F_GETFD) & FD_CLOEXEC));
  CHECK(readable(fd, 20000) && readable(copy, 0));
  DONE(submit(queue, get(), 2));
  ends(queue, 1, ETCD_OK);
  CHECK(readable(fd, 20000));
  ends(queue, 2, ETCD_OK);
  CHECK(!readable(fd, 0) && !readable(copy, 0));

  /* A host that reads the byte, and then takes events until there are none, misses nothing. */
  char byte[8];
  for (uint64_t tag = 1; tag <= 50; tag++) {
    DONE(submit(queue, get(), tag));
    CHECK(readable(copy, 20000));
    CHECK(read(copy, byte, sizeof byte) == 1);
    ends(queue, tag, ETCD_OK);
    nothing_comes(queue);
  }
  close(copy);
  etcd_queue_free(queue);
  CHECK(fcntl(fd, F_GETFD) == -1 && etcd_queue_fd(queue) == -1 && etcd_queue_dup_fd(queue) == -1);
}

/* == Packed records ======================================================================================== */

static void small_buffers(void) {
  static uint64_t buffer[64];
  size_t used;
  uint32_t records;
  char byte;
  etcd_queue *queue = new_queue(0);
  int fd = etcd_queue_fd(queue);
  uint8_t *at = (uint8_t *)buffer;
  DONE(etcd_queue_read(queue, at, sizeof buffer, &used, &records));
  CHECK(used == 0 && records == 0);
  put(client, "queue/k", "12345678");
  for (uint64_t tag = 1; tag <= 3; tag++) {
    DONE(submit(queue, get(), tag));
    while (open_ones() > 0) {
    }
  }
  size_t one = 80 + 48 + 16; /* queue/k and its value, padded */
  CHECK(readable(fd, 20000));
  GIVES(ETCD_ERR_TOO_LARGE, etcd_queue_read(queue, at, one - 1, &used, &records));
  CHECK(used == one && records == 0 && readable(fd, 0));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_queue_read(queue, at + 1, one, &used, &records));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_queue_read(queue, NULL, one, &used, &records));

  /* What it leaves behind can be seen, also by one who has read the byte. */
  CHECK(read(fd, &byte, 1) == 1 && !readable(fd, 0));
  DONE(etcd_queue_read(queue, at, 2 * one + 8, &used, &records));
  CHECK(used == 2 * one && records == 2 && readable(fd, 0));
  DONE(etcd_queue_read(queue, at, one, &used, &records));
  CHECK(used == one && records == 1 && !readable(fd, 0));
  etcd_queue_wake(queue);
  GIVES(ETCD_ERR_CANCELED, etcd_queue_read(queue, at, one, &used, &records));
  DONE(etcd_queue_read(queue, at, one, &used, &records));
  CHECK(records == 0);
  etcd_queue_free(queue);
  GIVES(ETCD_ERR_CLOSED, etcd_queue_read(queue, at, one, &used, &records));
}

/* == Freeing =============================================================================================== */

static void freeing(void) {
  struct waiting waiting;
  etcd_queue *queue = new_queue(0), *other = new_queue(0);
  etcd_event *event;
  etcd_reply *reply;
  open_watch(queue, 1);
  DONE(submit(queue, get(), 2));
  etcd_event *kept = next_event(queue);
  waiting.queue = queue;
  waiting.status = -1;
  start(&waiting.thread, waits, &waiting.status);
  for (uint64_t tag = 10; tag < 60; tag++) {
    DONE(submit(other, etcd_request_put(TEXT("queue/of nobody"), TEXT("v")), tag));
  }
  nap(0.02); /* so that it waits, most likely; it is right in any case */
  etcd_queue_free(queue);
  etcd_queue_free(other);
  join(waiting.thread);
  CHECK(waiting.status == ETCD_ERR_CLOSED || waiting.status == ETCD_OK);
  CHECK(etcd_event_tag(kept) == 2 && etcd_reply_count(etcd_event_reply(kept)) == 1);
  etcd_event_free(kept);
  GIVES(ETCD_ERR_CLOSED, submit(queue, get(), 3));
  GIVES(ETCD_ERR_CLOSED, etcd_queue_next(queue, 0, &event));
  GIVES(ETCD_ERR_CLOSED, etcd_queue_cancel(queue, 1));
  GIVES(ETCD_ERR_CLOSED, etcd_queue_take_reply(queue, 1, &reply));
  CHECK(etcd_queue_bytes(queue) == -1);
  etcd_queue_free(queue);
  etcd_queue_free(NULL);
  double until = now() + 20;
  while (open_ones() > 0) {
    CHECK(now() < until);
  }
  put(client, "queue/k", "the client goes on");
}

/* Freed while others submit to it and take from it. */
static void *uses(void *argument) {
  etcd_queue *queue = *(etcd_queue **)argument;
  etcd_status status = ETCD_OK;
  for (uint64_t tag = 1; status == ETCD_OK; tag++) {
    etcd_event *event = NULL;
    status = submit(queue, tag % 16 ? get() : etcd_request_watch(TEXT("queue/k")), tag + (uint64_t)(uintptr_t)&event);
    if (status == ETCD_OK && tag % 2) {
      status = etcd_queue_next(queue, 20000, &event);
    }
    etcd_event_free(event);
  }
  GIVES(ETCD_ERR_CLOSED, status);
  return NULL;
}

static void freeing_in_use(void) {
  uint32_t seed = (uint32_t)getpid();
  for (int round = 0; round < 50; round++) {
    etcd_queue *queue = new_queue(0);
    pthread_t threads[THREADS];
    for (int n = 0; n < THREADS; n++) {
      start(&threads[n], uses, &queue);
    }
    nap(dice(&seed) % 3000 / 1e6);
    etcd_queue_free(queue);
    for (int n = 0; n < THREADS; n++) {
      join(threads[n]);
    }
  }
  double until = now() + 20;
  while (open_ones() > 0) {
    CHECK(now() < until);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s ENDPOINTS\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  client = open_client(argv[1], (char *)NULL);
  put(client, "queue/k", "v");
  RUN(tags);
  RUN(order);
  RUN(crowd);
  RUN(wakes);
  RUN(descriptors);
  RUN(small_buffers);
  RUN(freeing);
  RUN(freeing_in_use);
  DONE(etcd_client_close(client, 10000, NULL));
  return end();
}
