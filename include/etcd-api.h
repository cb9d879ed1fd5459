/*
 * libetcd: etcd's keys, watches and fair locks for C and for every language that can call C.
 * Link with -letcd, or with what `pkg-config --cflags --libs etcd-api` says.
 *
 * Any thread may call any function at any time, on the same session too. No function writes to stdout or
 * stderr, changes signal handlers or raises SIGPIPE. After fork(), the child must open sessions of its own; on
 * an inherited one every call fails with EBADF, and closing it there does nothing.
 *
 * Strings end with NUL and are copied before the call returns. Strings that a function returns come from
 * malloc() and are the caller's to free().
 *
 * When a call fails, errno says why:
 *   EINVAL        an argument that can't be right: NULL or empty where that is not allowed, no servers
 *   ENOENT        there is no such key
 *   ESTALE        the precondition does not hold, or the index is not in the lock's queue (any more); or the
 *                 servers are not the cluster that the session began with, or were restored from a backup
 *   ECONNREFUSED  nobody listens at that address (or another error of connect(): ENETUNREACH, EMFILE ...)
 *   EHOSTUNREACH  there is no such host, or the servers can't serve at the moment (no leader)
 *   ECONNRESET    the connection broke before the answer came
 *   ETIMEDOUT     no answer within ETCD_API_REQUEST_TIMEOUT_MS (5000 unless set)
 *   EPROTO        what answers there is not etcd, or not one with its JSON gateway on
 *   EACCES        the server wants other credentials, or does not permit this; or TLS failed, because one side
 *                 does not accept the other's certificate
 *   EMSGSIZE      the request is over the server's limit (1.5 MiB unless set there)
 *   ENOSPC        the server's database is full
 *   EAGAIN        the server asks to slow down
 *   ERANGE        the changes from that index on are not kept any more
 *   EOVERFLOW     an index does not fit an int
 *   EILSEQ        a value or key holds a NUL byte, which no C string can carry
 *   ECANCELED     another thread closed the session
 *   EBADF         not an open session of this process: closed, or opened before a fork()
 *   ENOTSUP       this server, or this version of the library, can't do that
 *   ENOMEM        no memory or thread
 *   EIO           the server refused for another reason
 *   ENOTRECOVERABLE  a bug in this library
 *
 * The environment sets the options of a session, for programs that know only these functions. CONFIGURATION.md
 * lists them all; each is ETCD_API_ and the option's name:
 *   where         ETCD_API_DEFAULT_PORT, ETCD_API_DEFAULT_SCHEME, ETCD_API_SYNC_INTERVAL_MS
 *   how long      ETCD_API_REQUEST_TIMEOUT_MS, ETCD_API_CONNECT_TIMEOUT_MS
 *   how often     ETCD_API_RETRY_LIMIT, ETCD_API_RETRY_BUDGET
 *   how much      ETCD_API_MAX_REQUEST_BYTES, ETCD_API_MAX_REPLY_BYTES
 *   as whom       ETCD_API_USER, ETCD_API_PASSWORD, ETCD_API_PASSWORD_FILE, ETCD_API_TOKEN, ETCD_API_TOKEN_FILE
 *   TLS           ETCD_API_CA_FILE, ETCD_API_CERT_FILE, ETCD_API_KEY_FILE, ETCD_API_SERVER_NAME
 *   which keys    ETCD_API_NAMESPACE, ETCD_API_PATH_KEYS
 */


#ifndef ETCD_API_H
#define ETCD_API_H

/* Generated from src/ffi by cbindgen. Change it there, then run `make header`. */

/**
 * How a call ended. Whenever it is not ETCD_OK, errno says more.
 */
typedef enum etcd_result {
  /**
   * It was done.
   */
  ETCD_OK = 0,
  /**
   * A server answered and refused: it was not done.
   */
  ETCD_PROTOCOL_ERROR = 1,
  /**
   * It could not be asked, or there was no answer. A change that was sent before the answer failed to
   * come (ETIMEDOUT, ECONNRESET) may have been made: read before trying again.
   */
  ETCD_WTF = 2,
} etcd_result;

/**
 * What a session points to; only this library looks inside.
 */
typedef struct etcd_client etcd_client;

/**
 * A session with one cluster. Lives from etcd_open() or etcd_open_str() until etcd_close(); any number of
 * threads may use it at once.
 */
typedef struct etcd_client *etcd_session;

/**
 * One server in the list that etcd_open() takes.
 */
typedef struct etcd_server {
  /**
   * Its name or address; NULL ends the list. Anything that etcd_open_str() takes may stand here too.
   */
  char *host;
  /**
   * Its client port; 0 for the default port (2379, or ETCD_API_DEFAULT_PORT).
   */
  unsigned short port;
} etcd_server;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a session with the servers of an array. Contacts nobody: a server that is not there is found out
 * by the first call that needs it. Servers are tried one after the other until one answers, beginning
 * with the one that answered last.
 *
 * server_list: ends with an entry whose host is NULL. Copied: it may be changed or freed at once. NULL is an
 *   error; an empty list is not, but every call on its session fails with EINVAL.
 * Returns a session for etcd_close(), or NULL.
 * Does not block. Any thread.
 * Errors: EINVAL, ENOTSUP, ENOMEM.
 */
etcd_session etcd_open(const struct etcd_server *server_list);

/**
 * Opens a session with the servers named in a string. Otherwise as etcd_open().
 *
 * server_names: host, host:port, [IPv6]:port, http://host:port or unix://PATH, separated by commas,
 *   semicolons or white space; or mem://NAME alone, the store inside this library, which all sessions of
 *   the process that name the same NAME share (mem:// is the session's own). Copied. NULL, a string that
 *   names no server and one that names an impossible one are errors.
 * Returns a session for etcd_close(), or NULL.
 * Does not block. Any thread.
 * Errors: EINVAL, ENOTSUP, ENOMEM.
 */
etcd_session etcd_open_str(const char *server_names);

/**
 * Closes a session and frees it. Calls that other threads have in progress on it end at once with ECANCELED
 * (one that is just connecting may take ETCD_API_CONNECT_TIMEOUT_MS); whether a change that they had sent was
 * made is then unknown. A waiting etcd_lock() first leaves its queue, for which it asks a server once more.
 * Locks and keys with a TTL stay until that is over.
 *
 * session: NULL is fine and does nothing, and so does closing a session again. Calls that begin on it later
 *   fail with EBADF, so a loop in another thread may be ended in this way.
 * Does not wait for servers. Any thread.
 */
void etcd_close(etcd_session session);

/**
 * The same as etcd_close(); either closes any session.
 */
void etcd_close_str(etcd_session session);

/**
 * Reads a key, or lists a directory.
 *
 * key: taken as it is: "foo" and "/foo" are two keys. One that ends with a slash is its own directory.
 *   NULL and "" are errors.
 * Returns a string for free(): the key's value; when there is no such key, the full keys of the immediate
 *   children below KEY/, each once, in byte order, directories without a trailing slash, joined by newlines
 *   (children without a name, as in "KEY//x", are left out).
 *   NULL when there is neither (ENOENT), and on errors.
 * Blocks until the answer, at most for the request timeout. Any thread.
 * Errors: EINVAL, ENOENT, EILSEQ, and those of the connection.
 */
char *etcd_get(etcd_session session,
               const char *key);

/**
 * Waits for a change of a key or of anything below it. To see every change once and in order, start with
 * an index (or NULL), then always ask with the returned index + 1, with the same prefix and session: changes
 * that share one index (those of one transaction, keys that expire together) then come one by one, each
 * with that index. Between the calls nothing is missed, also when servers restart.
 *
 * prefix: sees the key PREFIX and all below PREFIX/ (below PREFIX if it ends with a slash), but not other
 *   keys that begin alike. NULL and "" are errors.
 * keyp: NULL, or set to the changed key, for free().
 * valuep: NULL, or set to its new value, for free(); to NULL when the key was deleted or expired.
 * index_in: NULL or pointing to 0: the next change from now on; else the index to start at, which may be in
 *   the past or the future. A negative one is an error.
 * index_out: NULL, or set to the change's index. May be the same as index_in.
 *   Of these, nothing is written unless ETCD_OK is returned, except *index_out with EILSEQ.
 * Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ERANGE when the changes from that index on are not kept any more
 *   (read, then start anew), with EOVERFLOW when the index does not fit an int, and with EILSEQ when the key or
 *   value holds a NUL byte (*index_out is set, so that the loop can go on); ETCD_WTF.
 * Blocks for as long as it takes, through any outage once a server has answered; etcd_close() on another
 *   thread ends it. Any thread; several threads that watch the same prefix each see all changes. Loops on the
 *   same prefix that share a thread, or run on a pool of threads, want a session each.
 * Errors: EINVAL, ERANGE, EOVERFLOW, EILSEQ, ECANCELED, and at the first call those of the connection.
 */
enum etcd_result etcd_watch(etcd_session session,
                            const char *prefix,
                            char **keyp,
                            char **valuep,
                            int *index_in,
                            int *index_out);

/**
 * Sets a key.
 *
 * key: as in etcd_get().
 * value: NULL deletes the key, as etcd_delete() does (with precond: only if it has that value).
 * precond: NULL, or the value that the key must have for this to be done; the key must exist then.
 * ttl: seconds after which the key goes away, 0 for never. etcd's least is 2 with its default settings:
 *   a smaller TTL lasts that long.
 * Returns ETCD_OK; ETCD_PROTOCOL_ERROR when the key has another value (ESTALE) or does not exist (ENOENT), or
 *   the server refused; ETCD_WTF.
 * Blocks until the answer, at most for the request timeout a round trip: one, and one each for the lease of
 *   a ttl that begins and of one that ends. Any thread.
 *   A set that may have reached a server is never sent a second time.
 * Errors: EINVAL, ENOENT, ESTALE, EMSGSIZE, ENOSPC, and those of the connection.
 */
enum etcd_result etcd_set(etcd_session session,
                          const char *key,
                          const char *value,
                          const char *precond,
                          unsigned int ttl);

/**
 * Deletes a key (not what is below it).
 *
 * key: as in etcd_get().
 * Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ENOENT when there is no such key; ETCD_WTF.
 * Blocks until the answer, at most for the request timeout, twice if the key has a ttl. Any thread.
 * Errors: EINVAL, ENOENT, and those of the connection.
 */
enum etcd_result etcd_delete(etcd_session session, const char *key);

/**
 * Tells which member leads the cluster.
 *
 * Returns its name (its id in hex when it has none) as a string for free(), or NULL.
 * Blocks until the answer, at most for the request timeout. Any thread.
 * Errors: EINVAL, and those of the connection; EHOSTUNREACH also while the cluster has no leader.
 */
char *etcd_leader(etcd_session session);

/**
 * Waits for a lock, or renews one. The lock is held for ttl seconds and ends by itself unless it is renewed.
 * Whoever asks first gets it first, in one queue with `etcdctl lock` and etcd's Go library.
 *
 * A holder that was stopped for longer than its ttl is not told; the index, which grows with every new
 * holder, is there to have its late writes refused.
 *
 * key: the lock's name. NULL and "" are errors. Its queue is the keys NAME/ + up to 16 hex digits that have a
 *   TTL, so nothing else should have such a key; other data below NAME/ is in nobody's way.
 * ttl: seconds from the moment at which this returns; 0 is an error. etcd's least is 2 with its default
 *   settings: a smaller TTL lasts that long.
 * index_in: NULL to take the lock; else the index of a lock that this or another process holds or waits
 *   for, to start its TTL anew or give it another one.
 *   Anything but such an index is refused with ESTALE.
 * index_out: set to the lock's index, decimal digits, for free(), when ETCD_OK is returned; to NULL
 *   when renewing, and on failure. NULL is an error when taking, allowed when renewing.
 * Returns ETCD_OK; ETCD_PROTOCOL_ERROR when the index is not in this lock's queue (any more), or, when taking,
 *   when the place in the queue is gone: taken out by somebody, or ended with an outage of the servers that
 *   was longer than ttl (ESTALE); ETCD_WTF.
 * Taking blocks for as long as others hold the lock; once it is queued, also through outages. etcd_close() on
 *   another thread ends it, and then the queue is left. Renewing blocks for a few round trips, at most the
 *   request timeout each. Any thread; several may wait for the same lock.
 * Errors: EINVAL, ESTALE, ECANCELED, and those of the connection.
 */
enum etcd_result etcd_lock(etcd_session session,
                           const char *key,
                           unsigned int ttl,
                           const char *index_in,
                           char **index_out);

/**
 * Releases a lock, or takes a waiting index out of its queue. The next in the queue then holds it.
 *
 * key: the lock's name. NULL and "" are errors.
 * index: as etcd_lock() gave it, to this or another process. NULL is an error.
 * Returns ETCD_OK; ETCD_PROTOCOL_ERROR with ESTALE when the index is not in this lock's queue (any more), which
 *   also means that it is not held; ETCD_WTF.
 * Blocks for a few round trips, at most the request timeout each. Any thread.
 * Errors: EINVAL, ESTALE, and those of the connection.
 */
enum etcd_result etcd_unlock(etcd_session session,
                             const char *key,
                             const char *index);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ETCD_API_H */
