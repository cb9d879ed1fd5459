/* One thread, one epoll, 1,000 operations in flight on Linux.   epoll-1000 [ENDPOINTS]
   (default: the store inside the library)
   cc epoll-1000.c $(pkg-config --cflags --libs etcd-api) -o epoll-1000 */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PUTS = 1000, COUNT = PUTS + 1 }; /* tags: 1 to 1000 for the puts, then one to count their keys */

static etcd_session client;
static etcd_queue *queue;
static long failed;

static void submit(etcd_request *request, uint64_t tag) {
  etcd_error *error = NULL;
  if (etcd_submit(client, queue, request, tag, 10000, &error) != ETCD_OK) /* then nothing was started */
    fprintf(stderr, "%s\n", etcd_error_message(error)), exit(1);
  etcd_request_free(request); /* the queue has what it needs */
}

static void take(const etcd_event *event) {
  const etcd_error *why = etcd_event_error(event);
  if (why && failed++ == 0) {
    const char *how = etcd_error_is_outcome_unknown(why) ? "may have been done" : "was not done";
    fprintf(stderr, "%d %s: %s\n", (int)etcd_event_tag(event), how, etcd_error_message(why));
  } else if (etcd_event_tag(event) == COUNT) {
    printf("%d puts made %d keys\n", PUTS, (int)etcd_reply_count(etcd_event_reply(event)));
  }
}

int main(int argc, char **argv) {
  etcd_event *event;
  client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  if (!client) return perror("etcd_open_str"), 1;
  etcd_queue_new(0, &queue, NULL);
  struct epoll_event ready = {.events = EPOLLIN}; /* level-triggered: ready until the queue is empty */
  int loop = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(loop, EPOLL_CTL_ADD, etcd_queue_fd(queue), &ready);

  char key[] = "epoll/0000";
  for (int tag = 1; tag <= PUTS; tag++) {
    snprintf(key, sizeof key, "epoll/%04d", tag % 10000);
    submit(etcd_request_put((const uint8_t *)key, strlen(key), (const uint8_t *)"x", 1), (uint64_t)tag);
  }
  for (int ended = 0; ended < COUNT && epoll_wait(loop, &ready, 1, -1) >= 0;) {
    for (; etcd_queue_next(queue, 0, &event) == ETCD_OK; etcd_event_free(event)) {
      take(event);
      if (++ended != PUTS) continue;
      etcd_request *count = etcd_request_get((const uint8_t *)"epoll/", 6);
      etcd_request_set_int(count, ETCD_FIELD_PREFIX, 1);
      etcd_request_set_int(count, ETCD_FIELD_COUNT_ONLY, 1);
      submit(count, COUNT);
    }
  }
  close(loop), etcd_queue_free(queue), etcd_client_close(client, 1000, NULL);
  return failed != 0;
}
