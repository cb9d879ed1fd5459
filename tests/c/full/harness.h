/* What the programs about the full tier share: checks, a client, requests that must succeed, text that grows. */
#include <etcd-api.h>
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
