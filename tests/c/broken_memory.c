/* What AddressSanitizer and LeakSanitizer must find in a program that uses an instrumented library.
   broken_memory nothing|leak|late|twice */
#include <etcd-api.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 2) {
    return 2;
  }
  etcd_session client = etcd_open_str("mem://");
  etcd_request *get = etcd_request_get((const uint8_t *)"k", 1);
  etcd_reply *reply = NULL;
  if (etcd_call(client, get, -1, NULL, &reply, NULL) != ETCD_OK) {
    return 3;
  }
  int64_t revision = etcd_reply_revision(reply);
  if (strcmp(argv[1], "leak") != 0) {
    etcd_request_free(get);
  }
  get = NULL;
  etcd_reply_free(reply);
  if (strcmp(argv[1], "late") == 0) {
    revision += etcd_reply_revision(reply);
  }
  if (strcmp(argv[1], "twice") == 0) {
    etcd_reply_free(reply);
  }
  etcd_close(client);
  printf("revision %d\n", (int)revision);
  return 0;
}
