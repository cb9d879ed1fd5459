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
enum { OBSERVE = 1, CAMPAIGN = 2 }; /* tags */
static const char *const NAME = "service/leader";

static int check(etcd_status status, const etcd_error *error) {
  if (status != ETCD_OK) fprintf(stderr, "%s\n", error ? etcd_error_message(error) : etcd_status_name(status));
  return status == ETCD_OK;
}

static void submit(etcd_client *client, etcd_queue *queue, etcd_request *request, uint64_t tag) {
  etcd_error *error = NULL;
  if (!check(etcd_submit(client, queue, request, tag, -1, &error), error)) exit(1);
  etcd_request_free(request);
}

static void proclaim(etcd_client *client, etcd_hold *leadership, char *line) {
  etcd_error *error = NULL;
  etcd_request *request = etcd_request_proclaim(leadership, BYTES(strtok(line, "\n")));
  check(etcd_call(client, request, 1000, NULL, NULL, &error), error); /* refused if it leads no more */
  etcd_error_free(error), etcd_request_free(request);
}

int main(int argc, char **argv) {
  const char *who = argc > 2 ? argv[2] : "me";
  etcd_client *client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  etcd_queue *queue = NULL;
  etcd_hold *leadership = NULL;
  etcd_event *event;
  etcd_kv kv;
  char line[1024];
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ), setvbuf(stdin, NULL, _IONBF, 0); /* poll() sees what stdin would keep */
  if (!check(etcd_queue_new(0, &queue, NULL), NULL)) return 1;
  submit(client, queue, etcd_request_observe(BYTES(NAME)), OBSERVE);
  submit(client, queue, etcd_request_campaign(BYTES(NAME), BYTES(who)), CAMPAIGN);
  struct pollfd fds[] = {{etcd_queue_fd(queue), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  while (poll(fds, 2, -1) >= 0) {
    for (; etcd_queue_next(queue, 0, &event) == ETCD_OK; etcd_event_free(event)) {
      if (etcd_event_kind(event) == ETCD_EVENT_LEADER) {
        if (etcd_reply_kv(etcd_event_reply(event), 0, &kv, sizeof kv) != ETCD_OK) puts("nobody leads");
        else printf("leader: %.*s\n", (int)kv.value_len, (const char *)kv.value);
      } else if (etcd_event_kind(event) == ETCD_EVENT_ACQUIRED) {
        if (check(etcd_queue_take_hold(queue, CAMPAIGN, &leadership), NULL)) puts("leading");
      } else if (!check(etcd_event_status(event), etcd_event_error(event))) {
        if (etcd_event_kind(event) != ETCD_EVENT_LOST) return 1; /* it can't campaign, or observe, at all */
        etcd_hold_free(leadership), leadership = NULL; /* told first of all: nothing is done as leader */
        submit(client, queue, etcd_request_campaign(BYTES(NAME), BYTES(who)), CAMPAIGN); /* to the end of the line */
      }
    }
    if (fds[1].revents && !fgets(line, sizeof line, stdin)) break;
    if (fds[1].revents && leadership && line[0] != '\n') proclaim(client, leadership, line);
  }
  etcd_hold_free(leadership), etcd_queue_free(queue); /* resigns */
  return !check(etcd_client_close(client, 1000, NULL), NULL);
}
