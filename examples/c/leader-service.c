/* A service of which one instance leads: campaigns, proclaims and observes in one event loop, without a thread.
   leader-service [ENDPOINTS [WHO]]   (default: the store inside the library, "me")   Ends when its standard input does;
   each line of it is proclaimed. Start several, with different names; end the one that leads.
   cc leader-service.c $(pkg-config --cflags --libs etcd-api) -o leader-service */
#include <etcd-api.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)
enum { OBSERVE = 1, CAMPAIGN = 2, PROCLAIM = 3 }; /* tags; each proclamation has one of its own */
static etcd_session client;
static etcd_queue *queue;
static etcd_hold *leadership;
static const char *who;
static int open_tags, ending;

static void submit(etcd_request *request, uint64_t tag) {
  etcd_error *error = NULL;
  if (etcd_submit(client, queue, request, tag, tag < PROCLAIM ? -1 : 5000, &error) != ETCD_OK)
    fprintf(stderr, "%s\n", etcd_error_message(error)), exit(1);
  etcd_request_free(request), open_tags++;
}

static void campaign(void) {
  submit(etcd_request_campaign(BYTES("service/leader"), BYTES(who)), CAMPAIGN);
}

static void take(const etcd_event *event) {
  etcd_kv kv;
  int is_campaign = etcd_event_tag(event) == CAMPAIGN, last = etcd_event_is_last(event);
  if (etcd_event_kind(event) == ETCD_EVENT_LEADER) {
    if (etcd_reply_kv(etcd_event_reply(event), 0, &kv, sizeof kv) != ETCD_OK) puts("nobody leads");
    else printf("leader: %.*s\n", (int)kv.value_len, (const char *)kv.value);
  } else if (etcd_event_kind(event) == ETCD_EVENT_ACQUIRED) {
    if (etcd_queue_take_hold(queue, CAMPAIGN, &leadership) == ETCD_OK) puts("leading");
  } else if (etcd_event_status(event) != ETCD_OK && etcd_event_status(event) != ETCD_ERR_CANCELED) {
    fprintf(stderr, "%s\n", etcd_error_message(etcd_event_error(event)));
  }
  open_tags -= last;
  if (is_campaign && last) { /* resigned, or lost: told before all that waits in the queue, so nothing is done as leader */
    etcd_hold_free(leadership), leadership = NULL;
    if (etcd_event_kind(event) != ETCD_EVENT_LOST && !ending) exit(1); /* it can't campaign at all */
    if (!ending) campaign(); /* to the end of the line */
  }
}

/* What is proclaimed without leadership (any more) is refused, and that is told by the queue. */
static int proclaim_lines(void) {
  static uint64_t tag = PROCLAIM;
  char text[1024], *line;
  ssize_t length = read(STDIN_FILENO, text, sizeof text - 1);
  if (length <= 0) return 0;
  text[length] = '\0';
  for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    if (leadership) submit(etcd_request_proclaim(leadership, BYTES(line)), tag++);
  return 1;
}

int main(int argc, char **argv) {
  etcd_event *event;
  who = argc > 2 ? argv[2] : "me";
  client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  if (etcd_queue_new(0, &queue, NULL) != ETCD_OK) return 1;
  submit(etcd_request_observe(BYTES("service/leader")), OBSERVE);
  campaign();
  struct pollfd fds[] = {{etcd_queue_fd(queue), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  while (open_tags > 0 && poll(fds, 2, -1) >= 0) {
    for (; etcd_queue_next(queue, 0, &event) == ETCD_OK; etcd_event_free(event)) take(event);
    if (fds[1].fd >= 0 && fds[1].revents && !proclaim_lines()) { /* resigns, and the last events still come */
      ending = 1, fds[1].fd = -1;
      etcd_queue_cancel(queue, CAMPAIGN), etcd_queue_cancel(queue, OBSERVE);
    }
  }
  etcd_queue_free(queue), etcd_client_close(client, 1000, NULL);
  return 0;
}
