/* A range, and a transaction that moves money only if there is enough of it.   range-txn [ENDPOINTS]
   (default: the store inside the library)
   cc range-txn.c $(pkg-config --cflags --libs etcd-api) -o range-txn */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)

static etcd_client *client;

/* Runs a request, and frees it. Ends the program with the reason if it fails. */
static etcd_reply *run(etcd_request *request) {
  etcd_reply *reply = NULL;
  etcd_error *error = NULL;
  if (etcd_call(client, request, 5000, NULL, &reply, &error) != ETCD_OK) {
    fprintf(stderr, "%s: %s\n", etcd_status_name(etcd_error_code(error)), etcd_error_message(error));
    exit(1);
  }
  etcd_request_free(request);
  return reply;
}

/* A reply's keys; then its children's, one level deeper: a transaction has one for each operation that it did. */
static void print(const etcd_reply *reply, int depth) {
  etcd_kv kv;
  for (size_t i = 0; etcd_reply_kv(reply, i, &kv, sizeof kv) == ETCD_OK; i++) {
    printf("%*s%.*s = ", 2 * depth, "", (int)kv.key_len, (const char *)kv.key);
    printf("%.*s\n", (int)kv.value_len, (const char *)kv.value);
  }
  for (size_t i = 0; i < etcd_reply_children(reply); i++) {
    printf("%*soperation %d\n", 2 * depth, "", (int)i + 1);
    print(etcd_reply_child(reply, i), depth + 1);
  }
}

int main(int argc, char **argv) {
  client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo"); /* its result is a client of both tiers */
  if (client == NULL) return perror("etcd_open_str"), 1;
  etcd_reply_free(run(etcd_request_put(BYTES("bank/ann"), BYTES("50"))));
  etcd_reply_free(run(etcd_request_put(BYTES("bank/ben"), BYTES("0"))));

  for (int round = 0; round < 2; round++) {
    etcd_request *txn = etcd_request_txn(), *all = etcd_request_get(BYTES("bank/"));
    etcd_request *take = etcd_request_put(BYTES("bank/ann"), BYTES("0"));
    etcd_request *give = etcd_request_put(BYTES("bank/ben"), BYTES("50"));
    etcd_request_set_int(all, ETCD_FIELD_PREFIX, 1);
    etcd_txn_compare_value(txn, BYTES("bank/ann"), ETCD_RELATION_EQUAL, BYTES("50"));
    etcd_txn_then(txn, take); /* copied; a fault is kept, and told when the transaction is run */
    etcd_txn_then(txn, give);
    etcd_txn_else(txn, all);
    etcd_reply *reply = run(txn);
    puts(etcd_reply_succeeded(reply) ? "moved" : "not enough; there is");
    print(reply, 0);
    etcd_reply_free(reply), etcd_request_free(take), etcd_request_free(give), etcd_request_free(all);
  }
  etcd_client_close(client, 1000, NULL); /* waits for its threads; etcd_close() does not */
  return 0;
}
