/*
 * The C side of benches/abi.rs: abi WHAT prints one number.
 *
 *   get       nanoseconds of a blocking get on mem://: call, look at the value, free
 *   queue     events a second: one thread submits gets, another one waits with poll(2) and takes what comes
 *   packed    the same, taken many at a time with etcd_queue_read()
 *   bare      the same events through a mutex, a list and a pipe
 *   watches   bytes of heap for each of 100,000 watches of one client on mem://, beyond the keys
 */
#include <etcd-api.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 200000
#define IN_FLIGHT 1000
#define WATCHES 100000
#define BYTES(text) (const uint8_t *)(text), strlen(text)

static const char KEY[] = "bench/key-00001";
static char value[65];
static etcd_client *client;
static etcd_queue *queue;
static etcd_request *get_request;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void check(etcd_status status, const char *what) {
  if (status != ETCD_OK) {
    fprintf(stderr, "%s: %s\n", what, etcd_status_name(status));
    exit(1);
  }
}

static void get(void) {
  const int count = 200000;
  size_t seen = 0;
  double start = now();
  for (int i = 0; i < count; i++) {
    etcd_reply *reply;
    etcd_kv kv;
    check(etcd_call(client, get_request, 1000, NULL, &reply, NULL), "get");
    check(etcd_reply_kv(reply, 0, &kv, sizeof kv), "its value");
    seen += kv.value_len;
    etcd_reply_free(reply);
  }
  double each = (now() - start) / count * 1e9;
  printf("%f\n", seen == count * strlen(value) ? each : -1);
}

/* What both queues have in common: at most so many are on their way, as in a program that waits for answers. */
static pthread_mutex_t room_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room_made = PTHREAD_COND_INITIALIZER;
static int on_their_way;

static void one_more(void) {
  pthread_mutex_lock(&room_lock);
  while (on_their_way >= IN_FLIGHT) pthread_cond_wait(&room_made, &room_lock);
  on_their_way++;
  pthread_mutex_unlock(&room_lock);
}

static void fewer(int count) {
  pthread_mutex_lock(&room_lock);
  on_their_way -= count;
  if (on_their_way < IN_FLIGHT / 2) pthread_cond_signal(&room_made);
  pthread_mutex_unlock(&room_lock);
}

static void wait_for(int descriptor) {
  struct pollfd watched = {descriptor, POLLIN, 0};
  poll(&watched, 1, -1);
}

static void *submit_all(void *unused) {
  for (uint64_t tag = 1; tag <= EVENTS; tag++) {
    one_more();
    check(etcd_submit(client, queue, get_request, tag, -1, NULL), "submit");
  }
  return unused;
}

static int take_next(void) {
  int taken = 0;
  etcd_event *event;
  while (etcd_queue_next(queue, 0, &event) == ETCD_OK) {
    etcd_kv kv;
    check(etcd_reply_kv(etcd_event_reply(event), 0, &kv, sizeof kv), "a value");
    etcd_event_free(event);
    taken++;
  }
  return taken;
}

static int take_packed(void) {
  static uint64_t buffer[8192];
  size_t used;
  uint32_t records;
  check(etcd_queue_read(queue, (uint8_t *)buffer, sizeof buffer, &used, &records), "read");
  return (int)records;
}

static void run_queue(int (*take)(void)) {
  pthread_t thread;
  int taken = 0, descriptor = etcd_queue_fd(queue);
  double start = now();
  pthread_create(&thread, NULL, submit_all, NULL);
  while (taken < EVENTS) {
    wait_for(descriptor);
    int count = take();
    fewer(count);
    taken += count;
  }
  printf("%f\n", EVENTS / (now() - start));
  pthread_join(thread, NULL);
}

/* The least that any such queue does: an event with a copy of key and value, a list, a lock, a pipe. */
struct bare {
  struct bare *next;
  uint64_t tag;
  size_t key_len, value_len;
  uint8_t *key, *value;
};
static pthread_mutex_t bare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bare *first, **last = &first;
static int bare_pipe[2];

static uint8_t *copy(const char *text, size_t *len) {
  *len = strlen(text);
  uint8_t *bytes = malloc(*len);
  return memcpy(bytes, text, *len);
}

static void *push_all(void *unused) {
  for (uint64_t tag = 1; tag <= EVENTS; tag++) {
    one_more();
    struct bare *event = calloc(1, sizeof *event);
    event->tag = tag;
    event->key = copy(KEY, &event->key_len);
    event->value = copy(value, &event->value_len);
    pthread_mutex_lock(&bare_lock);
    int was_empty = first == NULL;
    *last = event;
    last = &event->next;
    if (was_empty && write(bare_pipe[1], "x", 1) != 1) exit(1);
    pthread_mutex_unlock(&bare_lock);
  }
  return unused;
}

static struct bare *take_bare(void) {
  char byte;
  pthread_mutex_lock(&bare_lock);
  struct bare *event = first;
  if (event != NULL) {
    first = event->next;
    if (first == NULL) {
      last = &first;
      if (read(bare_pipe[0], &byte, 1) != 1) exit(1);
    }
  }
  pthread_mutex_unlock(&bare_lock);
  return event;
}

static void run_bare(void) {
  pthread_t thread;
  struct bare *event;
  if (pipe(bare_pipe) != 0) exit(1);
  double start = now();
  pthread_create(&thread, NULL, push_all, NULL);
  for (int taken = 0; taken < EVENTS;) {
    int count = 0;
    wait_for(bare_pipe[0]);
    for (; (event = take_bare()) != NULL; count++) {
      free(event->key);
      free(event->value);
      free(event);
    }
    fewer(count);
    taken += count;
  }
  printf("%f\n", EVENTS / (now() - start));
  pthread_join(thread, NULL);
}

static void watches(void) {
  char key[32];
  size_t keys = 0;
  etcd_event *event;
  size_t before = mallinfo2().uordblks;
  for (uint64_t tag = 1; tag <= WATCHES; tag++) {
    keys += (size_t)snprintf(key, sizeof key, "bench/watched-%06llu", (unsigned long long)tag);
    etcd_request *request = etcd_request_watch(BYTES(key));
    check(etcd_submit(client, queue, request, tag, -1, NULL), "watch");
    etcd_request_free(request);
  }
  for (int live = 0; live < WATCHES; live++) {
    check(etcd_queue_next(queue, 60000, &event), "live");
    if (etcd_event_watch_state(event) != ETCD_WATCH_LIVE) exit(1);
    etcd_event_free(event);
  }
  printf("%f\n", (mallinfo2().uordblks - before - keys) / (double)WATCHES);
}

int main(int count, char **words) {
  const char *what = count > 1 ? words[1] : "";
  etcd_options *options = etcd_options_new();
  memset(value, 'v', sizeof value - 1);
  /* One arena, so that all memory is counted. */
  mallopt(M_ARENA_MAX, 1);
  check(etcd_options_set(options, "endpoints", "mem://", NULL), "options");
  check(etcd_client_open(options, &client, NULL), "open");
  check(etcd_queue_new(0, &queue, NULL), "queue");
  etcd_request *put = etcd_request_put(BYTES(KEY), BYTES(value));
  check(etcd_call(client, put, 1000, NULL, NULL, NULL), "put");
  get_request = etcd_request_get(BYTES(KEY));
  if (strcmp(what, "get") == 0) get();
  else if (strcmp(what, "queue") == 0) run_queue(take_next);
  else if (strcmp(what, "packed") == 0) run_queue(take_packed);
  else if (strcmp(what, "bare") == 0) run_bare();
  else if (strcmp(what, "watches") == 0) watches();
  else return 1;
  etcd_request_free(put);
  etcd_request_free(get_request);
  etcd_options_free(options);
  etcd_client_free(client);
  etcd_queue_free(queue);
  return 0;
}
