/* What the library tells of itself: counters, and a log in which no secret and no value stands.
   PROGRAM ENDPOINTS USER PASSWORD [environment]   (nobody listens at the first of the endpoints)
   environment: takes no log, and does what would be logged. */
#include "harness.h"
#include <sys/wait.h>

static const char *endpoints, *user, *password;
static const char value[] = "a value of nobody's business", wrong[] = "not the password";
static char token[1000];

struct log {
  pthread_mutex_t mutex;
  int lines[5], freed, leaks;
  int32_t most;
};

static int holds(const char *line, const char *secret) {
  return *secret && strstr(line, secret) != NULL;
}

static void takes_line(void *data, int32_t level, const char *line) {
  struct log *log = (struct log *)data;
  pthread_mutex_lock(&log->mutex);
  CHECK(level >= ETCD_LOG_ERROR && level <= ETCD_LOG_DEBUG && *line && !strchr(line, '\n') && !log->freed);
  log->lines[level]++;
  log->most = level > log->most ? level : log->most;
  log->leaks += holds(line, password) || holds(line, value) || holds(line, wrong) || holds(line, token);
  pthread_mutex_unlock(&log->mutex);
}

static void frees(void *data) {
  struct log *log = (struct log *)data;
  pthread_mutex_lock(&log->mutex);
  log->freed++;
  pthread_mutex_unlock(&log->mutex);
}

static etcd_client *open_as(const char *secret) {
  return open_client(endpoints, "user", user, "password", secret, (char *)NULL);
}

static void remember_token(etcd_client *client) {
  const uint8_t *data;
  size_t length;
  etcd_reply *reply = must(client, etcd_request_authenticate(TEXT(user), TEXT(password)));
  DONE(etcd_reply_bytes(reply, ETCD_FIELD_TOKEN, &data, &length));
  CHECK(length > 0 && length < sizeof token);
  memcpy(token, data, length);
  token[length] = '\0';
  etcd_reply_free(reply);
}

static void fails(etcd_client *client, etcd_request *request, etcd_status status) {
  etcd_error *error;
  GIVES(status, etcd_call(client, request, 20000, NULL, NULL, &error));
  const char *message = etcd_error_message(error);
  CHECK(!holds(message, password) && !holds(message, value) && !holds(message, wrong) && !holds(message, token));
  etcd_error_free(error);
  etcd_request_free(request);
}

/* Connections that fail and succeed, logins that fail and succeed, writes that are refused. */
static void live_a_little(void) {
  etcd_client *client = open_as(password), *stranger = open_as(wrong);
  etcd_queue *queue = new_queue(0);
  put(client, "telling", value);
  remember_token(client);
  fails(stranger, etcd_request_put(TEXT("telling"), TEXT(value)), ETCD_ERR_UNAUTHENTICATED);
  fails(client, etcd_request_authenticate(TEXT(user), TEXT(wrong)), ETCD_ERR_UNAUTHENTICATED);
  etcd_request *request = etcd_request_put(TEXT("telling"), TEXT(value));
  DONE(etcd_request_set_int(request, ETCD_FIELD_IF_ABSENT, 1));
  DONE(etcd_submit(client, queue, request, 1, 20000, NULL));
  etcd_event *event = next_event(queue);
  GIVES(ETCD_ERR_COMPARE_FAILED, etcd_event_status(event));
  etcd_event_free(event);
  fails(client, request, ETCD_ERR_COMPARE_FAILED);
  etcd_queue_free(queue);
  DONE(etcd_client_close(client, 10000, NULL));
  DONE(etcd_client_close(stranger, 10000, NULL));
}

static void levels(void) {
  static struct log logs[5];
  for (int32_t level = ETCD_LOG_ERROR; level <= ETCD_LOG_DEBUG; level++) {
    CHECK(pthread_mutex_init(&logs[level].mutex, NULL) == 0);
    DONE(etcd_log_to(takes_line, level, &logs[level], frees));
    CHECK(level == ETCD_LOG_ERROR || logs[level - 1].freed == 1);
    live_a_little();
    CHECK(logs[level].most <= level && logs[level].leaks == 0);
  }
  struct log *all = &logs[ETCD_LOG_DEBUG];
  CHECK(all->lines[ETCD_LOG_WARNING] > 0 && all->lines[ETCD_LOG_INFO] > 0 && all->lines[ETCD_LOG_DEBUG] > 0);
  CHECK(logs[ETCD_LOG_WARNING].lines[ETCD_LOG_WARNING] > 0 && logs[ETCD_LOG_INFO].lines[ETCD_LOG_INFO] > 0);

  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_log_to(takes_line, 0, all, frees));
  GIVES(ETCD_ERR_INVALID_ARGUMENT, etcd_log_to(takes_line, ETCD_LOG_DEBUG + 1, all, frees));
  CHECK(all->freed == 0);
  DONE(etcd_log_to(NULL, 0, NULL, NULL));
  CHECK(all->freed == 1);
  live_a_little();
  for (int level = ETCD_LOG_ERROR; level <= ETCD_LOG_DEBUG; level++) {
    CHECK(logs[level].freed == 1);
  }
}

/* The log is the parent's: a child has none, and says nothing anywhere. */
static void a_child_is_quiet(void) {
  static struct log log;
  int ends[2], status;
  char byte;
  CHECK(pthread_mutex_init(&log.mutex, NULL) == 0 && pipe(ends) == 0);
  DONE(etcd_log_to(takes_line, ETCD_LOG_DEBUG, &log, frees));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(dup2(ends[1], 2) == 2);
    live_a_little();
    _exit(log.lines[ETCD_LOG_INFO] + log.freed ? 1 : 0);
  }
  close(ends[1]);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(read(ends[0], &byte, 1) == 0);
  close(ends[0]);
  DONE(etcd_log_to(NULL, 0, NULL, NULL));
  CHECK(log.freed == 1);
}

static int64_t counter(etcd_client *client, int32_t which) {
  return etcd_client_counter(client, which);
}

static void counters(void) {
  etcd_client *client = open_as(password);
  etcd_queue *queue = new_queue(0);
  for (int32_t which = ETCD_COUNTER_CONNECTIONS; which <= ETCD_COUNTER_OPEN; which++) {
    CHECK(counter(client, which) == 0 && counter(NULL, which) == -1);
  }
  CHECK(counter(client, 0) == -1 && counter(client, ETCD_COUNTER_OPEN + 1) == -1);
  put(client, "telling", value);
  int64_t connections = counter(client, ETCD_COUNTER_CONNECTIONS);
  CHECK(connections >= 1 && connections <= 2);
  CHECK(counter(client, ETCD_COUNTER_RETRIES) == 1);
  put(client, "telling", value);
  CHECK(counter(client, ETCD_COUNTER_CONNECTIONS) == connections && counter(client, ETCD_COUNTER_RETRIES) == 1);
  etcd_request *watch = etcd_request_watch(TEXT("telling"));
  for (uint64_t tag = 1; tag <= 3; tag++) {
    DONE(etcd_submit(client, queue, watch, tag, 20000, NULL));
    CHECK(counter(client, ETCD_COUNTER_OPEN) == (int64_t)tag);
    etcd_event_free(next_event(queue));
  }
  CHECK(etcd_queue_bytes(queue) == 0);
  put(client, "telling", value);
  for (int n = 0; n < 3; n++) {
    CHECK(readable(etcd_queue_fd(queue), 20000));
    int64_t before = etcd_queue_bytes(queue);
    etcd_event_free(next_event(queue));
    CHECK(before >= (int64_t)sizeof value && etcd_queue_bytes(queue) < before + 3 * 1000);
  }
  CHECK(etcd_queue_bytes(queue) == 0 && etcd_queue_bytes(NULL) == -1);
  DONE(etcd_queue_cancel(queue, 2));
  etcd_event_free(next_event(queue));
  CHECK(counter(client, ETCD_COUNTER_OPEN) == 2);
  CHECK(counter(client, ETCD_COUNTER_WATCHES_RESUMED) == 0 && counter(client, ETCD_COUNTER_WATCHES_PARKED) == 0);
  CHECK(counter(client, ETCD_COUNTER_HOLDS_LOST) == 0);
  etcd_request_free(watch);
  etcd_queue_free(queue);
  etcd_client_free(client);
  CHECK(counter(client, ETCD_COUNTER_OPEN) == -1);
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s ENDPOINTS USER PASSWORD [environment]\n", argv[0]);
    return 2;
  }
  alarm(240); /* a wait that never ends is a fault too */
  endpoints = argv[1];
  user = argv[2];
  password = argv[3];
  if (argc > 4) {
    RUN(live_a_little);
    return end();
  }
  RUN(levels);
  RUN(a_child_is_quiet);
  RUN(counters);
  return end();
}
