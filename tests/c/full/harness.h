/* What the programs about the full tier share: checks, a client, requests that must succeed, text that grows. */
#include <etcd-api.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t checking = PTHREAD_MUTEX_INITIALIZER;
static int checks;
/* What is being done, for whoever reads of a failure. */
static const char *doing = "";

static inline void check(int ok, const char *what, const char *file, int line) {
  int error = errno;
  pthread_mutex_lock(&checking);
  checks++;
  if (!ok) {
    fprintf(stderr, "%s:%d: %s  [%s; %d checks before, errno %s]\n", file, line, what, doing, checks - 1,
            strerror(error));
    exit(1);
  }
  pthread_mutex_unlock(&checking);
}
#define CHECK(expression) check((expression) != 0, #expression, __FILE__, __LINE__)

/* The call returns this status. */
static inline void gives(etcd_status wanted, etcd_status got, const char *call, const char *file, int line) {
  if (wanted != got) {
    fprintf(stderr, "%s, not %s: ", etcd_status_name(got), etcd_status_name(wanted));
  }
  check(wanted == got, call, file, line);
}
#define GIVES(status, call) gives((status), (call), #call, __FILE__, __LINE__)
#define DONE(call) GIVES(ETCD_OK, (call))

static inline const uint8_t *bytes(const char *text) {
  return (const uint8_t *)text;
}
#define TEXT(text) bytes(text), strlen(text)

static inline double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Opens a client with pairs of options, NULL behind the last one. */
static inline etcd_client *open_client(const char *endpoints, ...) {
  etcd_options *options = etcd_options_new();
  etcd_client *client;
  const char *name;
  va_list rest;
  DONE(etcd_options_set(options, "endpoints", endpoints, NULL));
  va_start(rest, endpoints);
  while ((name = va_arg(rest, const char *)) != NULL) {
    DONE(etcd_options_set(options, name, va_arg(rest, const char *), NULL));
  }
  va_end(rest);
  DONE(etcd_client_open(options, &client, NULL));
  etcd_options_free(options);
  return client;
}

static inline etcd_queue *new_queue(size_t max_bytes) {
  etcd_queue *queue;
  DONE(etcd_queue_new(max_bytes, &queue, NULL));
  return queue;
}

/* The reply to a request that must succeed. Frees the request. */
static inline etcd_reply *must(etcd_client *client, etcd_request *request) {
  etcd_reply *reply = NULL;
  etcd_error *error = NULL;
  etcd_status status = etcd_call(client, request, 20000, NULL, &reply, &error);
  if (status != ETCD_OK) {
    fprintf(stderr, "%s\n", etcd_error_message(error));
  }
  DONE(status);
  etcd_request_free(request);
  return reply;
}

/* The same, for the revision only. */
static inline int64_t must_do(etcd_client *client, etcd_request *request) {
  etcd_reply *reply = must(client, request);
  int64_t revision = etcd_reply_revision(reply);
  etcd_reply_free(reply);
  return revision;
}

static inline int64_t put(etcd_client *client, const char *key, const char *value) {
  return must_do(client, etcd_request_put(TEXT(key), TEXT(value)));
}

static inline etcd_request *everything(etcd_request *request) {
  DONE(etcd_request_set_int(request, ETCD_FIELD_PREFIX, 1));
  return request;
}

/* Takes back every alarm, one by one. */
static inline void calm_down(etcd_client *client) {
  etcd_reply *alarms = must(client, etcd_request_alarm(ETCD_ALARM_LIST, 0, ETCD_ALARM_ANY));
  for (size_t n = 0; n < etcd_reply_children(alarms); n++) {
    const etcd_reply *child = etcd_reply_child(alarms, n);
    int64_t member, alarm;
    DONE(etcd_reply_int(child, ETCD_FIELD_MEMBER, &member));
    DONE(etcd_reply_int(child, ETCD_FIELD_ALARM, &alarm));
    must_do(client, etcd_request_alarm(ETCD_ALARM_DISARM, member, (int32_t)alarm));
  }
  etcd_reply_free(alarms);
}

/* Leaves no alarm, no key and no lease. Returns the revision. */
static inline int64_t wipe(etcd_client *client) {
  calm_down(client);
  etcd_reply *leases = must(client, etcd_request_leases());
  for (size_t n = 0; n < etcd_reply_children(leases); n++) {
    int64_t lease;
    DONE(etcd_reply_int(etcd_reply_child(leases, n), ETCD_FIELD_LEASE, &lease));
    must_do(client, etcd_request_lease_revoke(lease));
  }
  etcd_reply_free(leases);
  return must_do(client, everything(etcd_request_delete(NULL, 0)));
}

/* The next event, which must come soon. */
static inline etcd_event *next_event(etcd_queue *queue) {
  etcd_event *event;
  DONE(etcd_queue_next(queue, 20000, &event));
  return event;
}

static inline void start(pthread_t *thread, void *(*body)(void *), void *argument) {
  CHECK(pthread_create(thread, NULL, body, argument) == 0);
}

static inline void join(pthread_t thread) {
  CHECK(pthread_join(thread, NULL) == 0);
}

static inline void nap(double seconds) {
  struct timespec time;
  time.tv_sec = (time_t)seconds;
  time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
  while (nanosleep(&time, &time) != 0) {
  }
}

/* Whether a descriptor can be read, within so many milliseconds. */
static inline int readable(int fd, int within) {
  struct pollfd polled;
  polled.fd = fd;
  polled.events = POLLIN;
  return poll(&polled, 1, within) == 1;
}

/* Random numbers, which a seed repeats. */
static inline uint32_t dice(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* == How late this machine is ============================================================================== */

static pthread_mutex_t lateness = PTHREAD_MUTEX_INITIALIZER;
static double worst_nap;

static inline void *measures_jitter(void *unused) {
  for (;;) {
    double began = now();
    nap(0.002);
    double late = now() - began - 0.002;
    pthread_mutex_lock(&lateness);
    worst_nap = late > worst_nap ? late : worst_nap;
    pthread_mutex_unlock(&lateness);
  }
  return unused;
}

/* What ended so late was in time: 100 ms, and what this machine was late, for the thread that tells and the one that
   is told. */
static inline int in_time(double ended, double deadline) {
  pthread_mutex_lock(&lateness);
  double allowed = 0.1 + 2 * worst_nap;
  pthread_mutex_unlock(&lateness);
  if (ended > deadline + allowed) {
    fprintf(stderr, "%.0f ms late, allowed: %.0f ms\n", (ended - deadline) * 1e3, allowed * 1e3);
  }
  return ended <= deadline + allowed;
}

/* == What the library leaves =============================================================================== */

static inline int entries(const char *folder) {
  int count = 0;
  DIR *open = opendir(folder);
  CHECK(open != NULL);
  while (readdir(open)) {
    count++;
  }
  closedir(open);
  return count;
}

static inline int threads_now(void) {
  return entries("/proc/self/task") - 2;
}

static inline int files_now(void) {
  return entries("/proc/self/fd") - 3;
}

static inline void say_threads(void) {
  char name[300];
  DIR *open = opendir("/proc/self/task");
  struct dirent *thread;
  while ((thread = readdir(open)) != NULL) {
    snprintf(name, sizeof name, "/proc/self/task/%s/comm", thread->d_name);
    FILE *file = fopen(name, "r");
    if (file && fgets(name, sizeof name, file)) {
      fprintf(stderr, "thread %s", name);
    }
    if (file) {
      fclose(file);
    }
  }
  closedir(open);
}

/* A thread that has ended and was joined is listed for a moment all the same. */
static inline void threads_come_to(int wanted) {
  double until = now() + 1;
  while (threads_now() != wanted) {
    if (now() > until) {
      say_threads();
    }
    CHECK(now() < until);
    nap(0.001);
  }
}

/* Runs a part of the program; FULL_VERBOSE tells how long each took. */
static inline void run(void (*part)(void), const char *name) {
  double began = now();
  doing = name;
  part();
  if (getenv("FULL_VERBOSE")) {
    printf("%-28s %.2f s\n", name, now() - began);
  }
}
#define RUN(part) run(part, #part)

/* == Text that grows ====================================================================================== */

struct text {
  char bytes[8192];
  size_t length;
};

static inline void say(struct text *text, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int said = vsnprintf(text->bytes + text->length, sizeof text->bytes - text->length, format, values);
  va_end(values);
  text->length += (size_t)said;
  CHECK(text->length < sizeof text->bytes);
}

static inline int end(void) {
  printf("%d checks\n", checks);
  return 0;
}
