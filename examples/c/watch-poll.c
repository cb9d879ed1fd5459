/* A watch and standard input in one poll(): each line that is typed is put, and comes back as a change.
   watch-poll [ENDPOINTS]   (default: the store inside the library)   Try: printf 'a\nb\n' | ./watch-poll
   cc watch-poll.c $(pkg-config --cflags --libs etcd-api) -o watch-poll */
#include <etcd-api.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)
enum { WATCH = 1 }; /* its tag; those of the puts follow */
static etcd_queue *queue;
static int unseen, failed; /* changes that are still to come; whether something went wrong for good */

static void submit(etcd_session client, etcd_request *request, uint64_t tag) {
  etcd_error *error = NULL;
  if (etcd_submit(client, queue, request, tag, 5000, &error) != ETCD_OK) /* then nothing was started */
    fprintf(stderr, "%s\n", etcd_error_message(error)), exit(1);
  etcd_request_free(request);
}

/* Tells whether it was the watch's last event. */
static int take(etcd_event *event) {
  etcd_kv kv;
  int of_watch = etcd_event_tag(event) == WATCH, over = of_watch && etcd_event_is_last(event);
  if (etcd_event_error(event) && etcd_event_status(event) != ETCD_ERR_CANCELED) /* also why a watch resumes */
    fprintf(stderr, "%s\n", etcd_error_message(etcd_event_error(event))), failed |= etcd_event_is_last(event);
  for (size_t i = 0; of_watch && etcd_reply_kv(etcd_event_reply(event), i, &kv, sizeof kv) == ETCD_OK; i++, unseen--)
    printf("changed to %.*s\n", (int)kv.value_len, (const char *)kv.value);
  if (!of_watch && etcd_event_status(event) != ETCD_OK) unseen--;
  etcd_event_free(event);
  return over;
}

int main(int argc, char **argv) {
  char text[4096], *line;
  uint64_t tag = WATCH + 1;
  etcd_event *event;
  etcd_session client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  etcd_queue_new(0, &queue, NULL);
  submit(client, etcd_request_watch(BYTES("poll/line")), WATCH);
  struct pollfd fds[] = {{etcd_queue_fd(queue), POLLIN, 0}, {-1, POLLIN, 0}}; /* -1: not yet */
  for (int over = 0, at_end = 0; !over && poll(fds, 2, -1) >= 0;) {
    while (!over && etcd_queue_next(queue, 0, &event) == ETCD_OK) { /* 0: takes what is there, never blocks */
      if (etcd_event_watch_state(event) == ETCD_WATCH_LIVE && !at_end) fds[1].fd = STDIN_FILENO;
      over = take(event);
    }
    if (fds[1].fd >= 0 && fds[1].revents) {
      ssize_t length = read(STDIN_FILENO, text, sizeof text - 1);
      if (length <= 0) at_end = 1, fds[1].fd = -1, length = 0;
      text[length] = '\0';
      for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), unseen++)
        submit(client, etcd_request_put(BYTES("poll/line"), BYTES(line)), tag++);
    }
    if (at_end && unseen == 0) etcd_queue_cancel(queue, WATCH); /* its last event still comes */
  }
  etcd_queue_free(queue), etcd_client_close(client, 1000, NULL);
  return failed;
}
