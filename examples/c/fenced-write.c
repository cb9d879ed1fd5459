/* Writes that only the holder of a lock can make: guarded by the hold, or by its token.   fenced-write [ENDPOINTS]
   (default: the store inside the library)   One holder is too slow: what it writes after its time is refused.
   cc fenced-write.c $(pkg-config --cflags --libs etcd-api) -o fenced-write */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES(text) (const uint8_t *)(text), strlen(text)

static etcd_client *client;

static void check(etcd_status status, etcd_error **error) {
  if (status != ETCD_OK) fprintf(stderr, "%s\n", etcd_error_message(*error)), exit(1);
}

static etcd_hold *acquire(void) {
  etcd_request *lock = etcd_request_lock(BYTES("fenced/lock"));
  etcd_hold *hold = NULL;
  etcd_error *error = NULL;
  check(etcd_acquire(client, lock, 10000, NULL, &hold, &error), &error);
  etcd_request_free(lock);
  return hold;
}

/* In etcd: done only while the hold's key is there, in the same moment as the write. No clock is asked. */
static void write_guarded(const etcd_hold *hold, const char *who) {
  etcd_request *txn = etcd_request_txn(), *put = etcd_request_put(BYTES("fenced/value"), BYTES(who));
  etcd_reply *reply = NULL;
  etcd_error *error = NULL;
  etcd_hold_guard(hold, txn); /* a fault is kept, and told when the transaction is run */
  etcd_txn_then(txn, put);
  check(etcd_call(client, txn, 5000, NULL, &reply, &error), &error);
  printf("%s: %s\n", who, etcd_reply_succeeded(reply) ? "written" : "refused, it holds the lock no more");
  etcd_reply_free(reply), etcd_request_free(put), etcd_request_free(txn);
}

/* Anywhere else (a file, a database): the resource keeps the greatest token that it has seen. */
static void write_elsewhere(int64_t token, const char *who) {
  static int64_t seen;
  if (token >= seen) seen = token;
  printf("%s: %s\n", who, token >= seen ? "written elsewhere" : "refused elsewhere, its token is stale");
}

int main(int argc, char **argv) {
  client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  if (client == NULL) return perror("etcd_open_str"), 1;
  etcd_hold *slow = acquire();
  int64_t stale = etcd_hold_token(slow);
  write_guarded(slow, "slow"), write_elsewhere(stale, "slow");

  /* As if it had slept for longer than its TTL: somebody takes its place away. By token, so never that of another. */
  etcd_request *broken = etcd_request_lock_break(BYTES("fenced/lock"), stale);
  etcd_error *error = NULL;
  check(etcd_call(client, broken, 5000, NULL, NULL, &error), &error);
  etcd_request_free(broken);

  etcd_hold *next = acquire();
  write_guarded(next, "next"), write_elsewhere(etcd_hold_token(next), "next");
  write_guarded(slow, "slow"), write_elsewhere(stale, "slow");
  etcd_hold_free(slow), etcd_hold_free(next);
  return etcd_client_close(client, 1000, NULL);
}
