/*
 * libetcd: etcd's keys, watches and fair locks for C and for every language that can call C.
 * Link with -letcd, or with what `pkg-config --cflags --libs etcd-api` says.
 *
 * There are two tiers on one handle (an etcd_session is an etcd_client *):
 *   The classic tier, the functions of 2013: etcd_open() to etcd_unlock(). C strings, int indexes, errno.
 *   The full tier, all else: an operation is a value (etcd_request_*). Run it now (etcd_call()), or queue it
 *   (etcd_submit()) and take what comes of it from a completion queue (etcd_queue_*). Bytes, 64-bit revisions,
 *   an etcd_status from every call that can fail, and the details in an etcd_error.
 *
 * Any thread may call any function at any time, on the same client too, unless its comment says otherwise. No
 * function writes to stdout or stderr (unless ETCD_LOG asks for it), changes signal handlers or raises SIGPIPE.
 * No thread of the library ever calls into the program, but for etcd_log_to().
 *
 * Handles that threads share (etcd_client, etcd_queue, etcd_cancel, etcd_watcher, etcd_pages) are numbers that look
 * like pointers, and are looked up: one that was freed, one that belongs to the parent of a forked process, or one
 * of another kind is told by an error (ETCD_ERR_CLOSED, ETCD_ERR_FORKED, ETCD_ERR_INVALID_ARGUMENT; EBADF in the classic
 * tier), and never a crash. After fork(), the child must open clients of its own; freeing inherited ones does nothing.
 * Values (etcd_options, etcd_request, etcd_reply, etcd_event, etcd_error) are memory: each is freed once, with the
 * function of its name, in any order, by any thread, also in a forked child.
 *
 * Classic tier: strings end with NUL and are copied before the call returns. Strings that a function returns come from
 * malloc() and are the caller's to free(). When a call fails, errno says why:
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
 * Options are set by name (etcd_options_set()); the environment gives their defaults, also for programs that know
 * only the classic tier. CONFIGURATION.md lists them all; each is ETCD_API_ and the option's name:
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

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header: major * 1,000,000 + minor * 1,000 + patch.
 */
#define ETCD_API_VERSION 1000

/**
 * What went wrong and was not told otherwise.
 */
#define ETCD_LOG_ERROR 1

/**
 * What went wrong and was made good: connections lost, endpoints left, watches resumed.
 */
#define ETCD_LOG_WARNING 2

/**
 * What happens seldom: connections made, logins.
 */
#define ETCD_LOG_INFO 3

/**
 * Each attempt that is made again.
 */
#define ETCD_LOG_DEBUG 4

/**
 * An argument, option or request that can't be right.
 */
#define ETCD_ERR_INVALID_ARGUMENT 10

/**
 * The client or queue was closed.
 */
#define ETCD_ERR_CLOSED 11

/**
 * It was canceled.
 */
#define ETCD_ERR_CANCELED 12

/**
 * Nothing came in time.
 */
#define ETCD_ERR_TIMEOUT 13

/**
 * Not built into this library, or not offered by this server.
 */
#define ETCD_ERR_UNSUPPORTED 14

/**
 * The handle belongs to the process that this one was forked from.
 */
#define ETCD_ERR_FORKED 15

/**
 * A bug in this library. Please report it.
 */
#define ETCD_ERR_PANIC 16

/**
 * No memory, threads or file descriptors.
 */
#define ETCD_ERR_NO_RESOURCE 17

/**
 * No server could be reached, or none can serve at the moment.
 */
#define ETCD_ERR_UNAVAILABLE 30

/**
 * TLS failed: one side does not accept the other's certificate.
 */
#define ETCD_ERR_TLS 31

/**
 * Something answered, but not as etcd does.
 */
#define ETCD_ERR_BAD_REPLY 32

/**
 * The servers are not the cluster that the client began with, or were restored from a backup.
 */
#define ETCD_ERR_OTHER_CLUSTER 33

/**
 * The asked history is compacted.
 */
#define ETCD_ERR_COMPACTED 50

/**
 * The asked revision does not exist yet.
 */
#define ETCD_ERR_FUTURE_REVISION 51

/**
 * Wrong or missing credentials.
 */
#define ETCD_ERR_UNAUTHENTICATED 52

/**
 * The user may not do this.
 */
#define ETCD_ERR_PERMISSION_DENIED 53

/**
 * The request or its answer is over a limit.
 */
#define ETCD_ERR_TOO_LARGE 54

/**
 * The server's database is full.
 */
#define ETCD_ERR_NO_SPACE 55

/**
 * There is no such lease (any more).
 */
#define ETCD_ERR_LEASE_NOT_FOUND 56

/**
 * The server asks to slow down.
 */
#define ETCD_ERR_TOO_MANY_REQUESTS 57

/**
 * The server refused for another reason; the message says which.
 */
#define ETCD_ERR_REFUSED 58

/**
 * There is no such key, or no such item, where one was needed.
 */
#define ETCD_ERR_KEY_NOT_FOUND 70

/**
 * The condition of a put or a deletion does not hold: nothing was done.
 */
#define ETCD_ERR_COMPARE_FAILED 71

/**
 * A lock or leadership was lost.
 */
#define ETCD_ERR_LOST 72

/**
 * Nobody holds the lock with this index or token.
 */
#define ETCD_ERR_NOT_HELD 73

/**
 * Connections made so far: one or two for each endpoint that was used, more when they broke; by JSON, one for each
 * call and watch of the same time.
 */
#define ETCD_COUNTER_CONNECTIONS 1

/**
 * Attempts that were made again, on the same endpoint or another one.
 */
#define ETCD_COUNTER_RETRIES 2

/**
 * Watches whose stream broke, and that went on.
 */
#define ETCD_COUNTER_WATCHES_RESUMED 3

/**
 * Watches that waited for room in a queue.
 */
#define ETCD_COUNTER_WATCHES_PARKED 4

/**
 * Holds that were lost.
 */
#define ETCD_COUNTER_HOLDS_LOST 5

/**
 * Submitted operations and watches that have not ended.
 */
#define ETCD_COUNTER_OPEN 6

/**
 * Takes all keys that start with the request's key; an empty one: all keys. 1 or 0; not with ETCD_FIELD_RANGE_END. Get,
 * delete, watch, comparison.
 */
#define ETCD_FIELD_PREFIX 1

/**
 * The first key behind the range that begins with the request's key; one NUL byte: no end. Bytes. Get, delete,
 * watch.
 */
#define ETCD_FIELD_RANGE_END 2

/**
 * At most so many keys; 0: all. Get.
 */
#define ETCD_FIELD_LIMIT 3

/**
 * As it was at this revision; 0: now. Get, hash. For a compaction: see etcd_request_compact().
 */
#define ETCD_FIELD_REVISION 4

/**
 * By what keys are sorted: ETCD_SORT_*. Get.
 */
#define ETCD_FIELD_SORT_BY 5

/**
 * ETCD_SORT_ASCENDING or ETCD_SORT_DESCENDING. Get.
 */
#define ETCD_FIELD_SORT_ORDER 6

/**
 * Leave values out. 1 or 0. Get.
 */
#define ETCD_FIELD_KEYS_ONLY 7

/**
 * Only count. 1 or 0. Get.
 */
#define ETCD_FIELD_COUNT_ONLY 8

/**
 * Let one member answer from what it has, which may be old. 1 or 0. Get.
 */
#define ETCD_FIELD_SERIALIZABLE 9

/**
 * Only keys last changed at this revision or later. Get.
 */
#define ETCD_FIELD_MIN_MOD_REVISION 10

/**
 * Only keys last changed at this revision or before. Get.
 */
#define ETCD_FIELD_MAX_MOD_REVISION 11

/**
 * Only keys created at this revision or later. Get.
 */
#define ETCD_FIELD_MIN_CREATE_REVISION 12

/**
 * Only keys created at this revision or before. Get.
 */
#define ETCD_FIELD_MAX_CREATE_REVISION 13

/**
 * A lease: the one to attach the key to (put; 0: none), the id to give (lease_grant; 0: the library's choice). Of a
 * reply: the lease granted, kept alive, or made for a put with a TTL.
 */
#define ETCD_FIELD_LEASE 20

/**
 * Seconds. Put: under a new lease of its own, so long (its id is the reply's ETCD_FIELD_LEASE). Of a reply: what is
 * left, or was granted; -1 or 0: there is no such lease (any more).
 */
#define ETCD_FIELD_TTL 21

/**
 * Only if there is no such key. 1 or 0. Put.
 */
#define ETCD_FIELD_IF_ABSENT 22

/**
 * Only if there is such a key. 1 or 0. Put, delete of one key.
 */
#define ETCD_FIELD_IF_PRESENT 23

/**
 * Only if this is the key's value. Bytes. Put, delete of one key.
 */
#define ETCD_FIELD_IF_VALUE 24

/**
 * Only if the key was last changed at this revision; 0: only if there is no such key. Put, delete of one key.
 */
#define ETCD_FIELD_IF_MOD_REVISION 25

/**
 * Only if the key was created at this revision; 0: only if there is no such key. Put, delete of one key.
 */
#define ETCD_FIELD_IF_CREATE_REVISION 26

/**
 * Tell what was there before. 1 or 0. Put, delete, watch.
 */
#define ETCD_FIELD_RETURN_PREVIOUS 27

/**
 * Keep the value that is there: the key must exist, and the request's value be empty. 1 or 0. Put.
 */
#define ETCD_FIELD_IGNORE_VALUE 28

/**
 * Keep the lease that is there: the key must exist. 1 or 0. Put.
 */
#define ETCD_FIELD_IGNORE_LEASE 29

/**
 * The first revision of interest; 0: from now on. Watch.
 */
#define ETCD_FIELD_START_REVISION 40

/**
 * Leave puts out. 1 or 0; not with ETCD_FIELD_NO_DELETES. Watch.
 */
#define ETCD_FIELD_NO_PUTS 41

/**
 * Leave deletions out. 1 or 0; not with ETCD_FIELD_NO_PUTS. Watch.
 */
#define ETCD_FIELD_NO_DELETES 42

/**
 * After a compaction, tell in one batch what has changed, instead of ending. Keeps the range's keys in memory. 1 or
 * 0. Watch.
 */
#define ETCD_FIELD_RESYNC 43

/**
 * Tell now and then that there were no changes up to a revision: as often as the server does, every 10 minutes unless
 * it was started with --watch-progress-notify-interval (before 3.6: --experimental-watch-progress-notify-interval). 1
 * or 0. Watch.
 */
#define ETCD_FIELD_PROGRESS 44

/**
 * Answer only when the history is gone from the database, too. 1 or 0. Compaction.
 */
#define ETCD_FIELD_PHYSICAL 50

/**
 * List the lease's keys, too. 1 or 0. lease_ttl.
 */
#define ETCD_FIELD_KEYS 51

/**
 * What a lock's place says to people who look at the queue; of a place in a queue: what it must say. Bytes. Lock,
 * lock_find, lock_break, lock_renew.
 */
#define ETCD_FIELD_VALUE 52

/**
 * Share the place in the queue that has the same value, if there is one. 1 or 0. Lock, campaign.
 */
#define ETCD_FIELD_JOIN 53

/**
 * Sort by the key's bytes.
 */
#define ETCD_SORT_BY_KEY 0

/**
 * Sort by the number of puts.
 */
#define ETCD_SORT_BY_VERSION 1

/**
 * Sort by the creation revision.
 */
#define ETCD_SORT_BY_CREATE_REVISION 2

/**
 * Sort by the revision of the last change.
 */
#define ETCD_SORT_BY_MOD_REVISION 3

/**
 * Sort by the value's bytes.
 */
#define ETCD_SORT_BY_VALUE 4

/**
 * Lowest first.
 */
#define ETCD_SORT_ASCENDING 0

/**
 * Highest first.
 */
#define ETCD_SORT_DESCENDING 1

/**
 * Compares the number of puts; 0 when there is no such key.
 */
#define ETCD_TARGET_VERSION 0

/**
 * Compares the creation revision; 0 when there is no such key.
 */
#define ETCD_TARGET_CREATE 1

/**
 * Compares the revision of the last change; 0 when there is no such key.
 */
#define ETCD_TARGET_MOD 2

/**
 * Compares the lease; 0 for none.
 */
#define ETCD_TARGET_LEASE 4

/**
 * What is there is the same.
 */
#define ETCD_RELATION_EQUAL 0

/**
 * What is there is greater.
 */
#define ETCD_RELATION_GREATER 1

/**
 * What is there is less.
 */
#define ETCD_RELATION_LESS 2

/**
 * What is there differs.
 */
#define ETCD_RELATION_NOT_EQUAL 3

/**
 * Lists the alarms that are raised.
 */
#define ETCD_ALARM_LIST 0

/**
 * Raises an alarm.
 */
#define ETCD_ALARM_RAISE 1

/**
 * Takes alarms back.
 */
#define ETCD_ALARM_DISARM 2

/**
 * Every kind of alarm.
 */
#define ETCD_ALARM_ANY 0

/**
 * The database is full.
 */
#define ETCD_ALARM_NO_SPACE 1

/**
 * The members' data differ.
 */
#define ETCD_ALARM_CORRUPT 2

/**
 * Of every reply: the id of the cluster that answered, all 64 bits of it.
 */
#define ETCD_FIELD_CLUSTER 100

/**
 * The id of the member that answered, or that the reply is about, all 64 bits of it.
 */
#define ETCD_FIELD_MEMBER 101

/**
 * The number of the leader's term.
 */
#define ETCD_FIELD_RAFT_TERM 102

/**
 * The seconds that a lease was granted for.
 */
#define ETCD_FIELD_GRANTED_TTL 103

/**
 * A hash of all keys.
 */
#define ETCD_FIELD_HASH 104

/**
 * From which revision on history counts.
 */
#define ETCD_FIELD_COMPACT_REVISION 105

/**
 * The id of the leader, all 64 bits of it; 0: there is none.
 */
#define ETCD_FIELD_LEADER 106

/**
 * Bytes of the member's database.
 */
#define ETCD_FIELD_DB_SIZE 107

/**
 * Bytes of it that hold data; 0 where the server does not say.
 */
#define ETCD_FIELD_DB_SIZE_IN_USE 108

/**
 * The last entry of the member's log.
 */
#define ETCD_FIELD_RAFT_INDEX 109

/**
 * The last entry that it has applied; 0 where the server does not say.
 */
#define ETCD_FIELD_RAFT_APPLIED_INDEX 110

/**
 * It has no vote yet: 1 or 0.
 */
#define ETCD_FIELD_IS_LEARNER 111

/**
 * Of an endpoint: whether it answered: ETCD_OK or ETCD_ERR_*.
 */
#define ETCD_FIELD_STATUS 112

/**
 * ETCD_ALARM_NO_SPACE or ETCD_ALARM_CORRUPT.
 */
#define ETCD_FIELD_ALARM 113

/**
 * A member's name. Bytes, as all that follow; UTF-8 without a NUL behind it.
 */
#define ETCD_FIELD_NAME 130

/**
 * Where other members reach a member; several are separated by a newline.
 */
#define ETCD_FIELD_PEER_URLS 131

/**
 * Where clients reach a member; several are separated by a newline.
 */
#define ETCD_FIELD_CLIENT_URLS 132

/**
 * A server's version.
 */
#define ETCD_FIELD_VERSION 133

/**
 * What is wrong with a member; several faults are separated by a newline.
 */
#define ETCD_FIELD_ERRORS 134

/**
 * An endpoint, as the list has it.
 */
#define ETCD_FIELD_ENDPOINT 135

/**
 * Why an endpoint did not answer.
 */
#define ETCD_FIELD_MESSAGE 136

/**
 * A token; a secret.
 */
#define ETCD_FIELD_TOKEN 137

/**
 * A key in a reply to a get.
 */
#define ETCD_KV_KEY 0

/**
 * A key that was written.
 */
#define ETCD_KV_PUT 1

/**
 * A key that was deleted: only its name and mod_revision, the revision of the deletion, are set.
 */
#define ETCD_KV_DELETE 2

/**
 * What was there before.
 */
#define ETCD_KV_PREVIOUS 3

/**
 * An operation has ended, with its reply or an error. The last event of its tag.
 */
#define ETCD_EVENT_REPLY 1

/**
 * Changes of one revision, seen by a watch: the keys of its reply.
 */
#define ETCD_EVENT_CHANGES 2

/**
 * The state of a watch has changed: etcd_event_watch_state().
 */
#define ETCD_EVENT_WATCH_STATE 3

/**
 * A watch has ended, for the reason that its error tells. The last event of its tag.
 */
#define ETCD_EVENT_WATCH_END 7

/**
 * A lock or leadership is held now: etcd_queue_take_hold(). Its token is etcd_event_revision().
 */
#define ETCD_EVENT_ACQUIRED 4

/**
 * It is lost, for the reason that its error tells. The last event of its tag, before all that wait.
 */
#define ETCD_EVENT_LOST 5

/**
 * Who leads an election: the one key of its reply, whose value is what is proclaimed; no key: nobody.
 */
#define ETCD_EVENT_LEADER 6

/**
 * A server has confirmed the watch: from etcd_event_revision() on every change is told.
 */
#define ETCD_WATCH_LIVE 1

/**
 * Its stream broke, for the reason that the event's error tells; it is being opened again behind the last change
 * told. Nothing is lost.
 */
#define ETCD_WATCH_RESUMING 2

/**
 * The queue is full: it is opened again behind the last change told when there is room. Nothing is lost.
 */
#define ETCD_WATCH_PARKED 3

/**
 * What came next is compacted; etcd_event_revision() is the oldest that is kept, 0 where it is not known. The end
 * follows; with ETCD_FIELD_RESYNC, what has changed since (ETCD_WATCH_RESYNCED).
 */
#define ETCD_WATCH_COMPACTED 4

/**
 * The servers are another cluster, or their history went back. The end follows.
 */
#define ETCD_WATCH_RESET 5

/**
 * There were no changes up to etcd_event_revision(). Only with ETCD_FIELD_PROGRESS.
 */
#define ETCD_WATCH_PROGRESS 6

/**
 * Of changes (ETCD_EVENT_CHANGES): all that has changed since the last ones, in one batch, since it was compacted.
 * Deletions have the revision at which they were found.
 */
#define ETCD_WATCH_RESYNCED 7

/**
 * The version of the layout: the first byte behind a record's length.
 */
#define ETCD_PACKED_VERSION 1

/**
 * Flag of a record: the last one of its tag.
 */
#define ETCD_PACKED_LAST 1

/**
 * Flag of a record: its reply is to be taken with etcd_queue_take_reply().
 */
#define ETCD_PACKED_TAKE 2

/**
 * Flag of a record: the comparisons of the transaction held.
 */
#define ETCD_PACKED_SUCCEEDED 4

/**
 * Flag of a record: there are more keys behind the limit.
 */
#define ETCD_PACKED_MORE 8

/**
 * Flag of a record: the failure may pass, and trying again can do no harm.
 */
#define ETCD_PACKED_RETRIABLE 16

/**
 * Flag of a record: the change that failed may have been made.
 */
#define ETCD_PACKED_OUTCOME_UNKNOWN 32

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
 * Ends calls that wait, from another thread. Once triggered, for good.
 */
typedef struct etcd_cancel etcd_cancel;

/**
 * What a session points to; only this library looks inside.
 */
typedef struct etcd_client etcd_client;

/**
 * Why a call failed. Plain memory of its own: any thread may read it, also after everything else was freed.
 */
typedef struct etcd_error etcd_error;

/**
 * What came out of a queue. It owns its memory and never changes: any thread may read it, also after everything else
 * was freed.
 */
typedef struct etcd_event etcd_event;

/**
 * A held lock or leadership. Kept alive by the library until it is released, freed, or lost; once lost, for good.
 */
typedef struct etcd_hold etcd_hold;

/**
 * The settings of a client. One thread builds them; afterwards any number of clients may be opened with them.
 */
typedef struct etcd_options etcd_options;

/**
 * Reads a large range a page at a time, all of it as it was when the first page was read.
 */
typedef struct etcd_pages etcd_pages;

/**
 * The place where events come out. Made with etcd_queue_new(); any number of threads may submit to it, and take
 * from it; any number of clients may use it.
 */
typedef struct etcd_queue etcd_queue;

/**
 * What was answered. It owns its memory and never changes: any number of threads may read it at once, also
 * after everything else was freed.
 */
typedef struct etcd_reply etcd_reply;

/**
 * What is wanted. One thread builds it; once it was run or submitted it must not be changed, and any number of
 * threads may run it any number of times, at once. A constructor that was given nonsense keeps the fault, and
 * running the request reports it: so building needs no checks. So does a request that was run and is changed then: it
 * is refused, and from then on every run of that request, too.
 */
typedef struct etcd_request etcd_request;

/**
 * A watch for a program that wants a plain loop: etcd_watcher_next() until it fails.
 */
typedef struct etcd_watcher etcd_watcher;

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

/**
 * How a call of the full tier ended: 0 (ETCD_OK), or one of ETCD_ERR_*. A number never changes its meaning;
 * new ones may come.
 */
typedef int32_t etcd_status;

/**
 * Takes a line of the log. Called by any thread, also by several at once, and by those of the library, which is
 * why it must not call the library.
 *
 * data: what was given to etcd_log_to(). level: ETCD_LOG_*.
 * line: UTF-8 without a newline; lives until it returns. Never a secret or a value.
 */
typedef void (*etcd_log_fn)(void *data, int32_t level, const char *line);

/**
 * Frees what a log was given, when no thread uses it any more.
 */
typedef void (*etcd_log_free_fn)(void *data);

/**
 * A key, its value and its history. key and value are no strings: they end with their lengths, and live as
 * long as the reply or event that they came from.
 */
typedef struct etcd_kv {
  /**
   * The key's bytes.
   */
  const uint8_t *key;
  /**
   * How many.
   */
  size_t key_len;
  /**
   * The value's bytes.
   */
  const uint8_t *value;
  /**
   * How many.
   */
  size_t value_len;
  /**
   * The revision at which the key came to life.
   */
  int64_t create_revision;
  /**
   * The revision of its last change.
   */
  int64_t mod_revision;
  /**
   * How many times it was put since it came to life.
   */
  int64_t version;
  /**
   * The lease it is attached to; 0: none.
   */
  int64_t lease;
  /**
   * ETCD_KV_*.
   */
  uint32_t kind;
  /**
   * 0.
   */
  uint32_t reserved;
} etcd_kv;

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
 * Waits for a moment (250 ms at most) for the library's threads, not for servers. Any thread.
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

/**
 * The version of the library that is running: "0.1.0".
 *
 * Returns a string that lives for ever.
 * Does not block. Any thread.
 */
const char *etcd_version(void);

/**
 * Whether the library that is running has all that a program needs which was built with a header of this version.
 * For bindings, when they load the library.
 *
 * version: ETCD_API_VERSION of that header.
 * Does not block. Any thread.
 * Errors: ETCD_ERR_UNSUPPORTED: the library is older, or too new.
 */
etcd_status etcd_version_check(int32_t version);

/**
 * Whether the library can speak in this way: "grpc", "json", "mem", "tls", "unix".
 *
 * Returns 1 or 0; 0 for NULL and for words that it does not know.
 * Does not block. Any thread.
 */
int etcd_has(const char *feature);

/**
 * Lets a function take the log. Without it, there is one only if the environment variable ETCD_LOG is "error",
 * "warning", "info" or "debug": on stderr.
 *
 * log: NULL ends it.
 * level: the least important that is wanted: ETCD_LOG_*.
 * data: handed to log. free: called with data when it is not used any more, maybe before this returns; or NULL.
 * Does not block. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT: there is no such level; free is not called then.
 */
etcd_status etcd_log_to(etcd_log_fn log,
                        int32_t level,
                        void *data,
                        etcd_log_free_fn free);

/**
 * The name of a status: "ETCD_ERR_TIMEOUT".
 *
 * Returns a string that lives for ever; "ETCD_ERR_?" for a number that this version does not know.
 * Does not block. Any thread.
 */
const char *etcd_status_name(etcd_status status);

/**
 * The status that the failed call returned.
 *
 * error: NULL gives 0 (ETCD_OK), as for every getter of an error: 0 or NULL.
 * Does not block. Any thread.
 */
etcd_status etcd_error_code(const struct etcd_error *error);

/**
 * What failed, where, why, and what to do next, in one line of UTF-8. Never a secret or a value.
 *
 * Returns a string that lives as long as the error.
 * Does not block. Any thread.
 */
const char *etcd_error_message(const struct etcd_error *error);

/**
 * The endpoint at which it failed.
 *
 * Returns a string that lives as long as the error; NULL when no endpoint was involved.
 * Does not block. Any thread.
 */
const char *etcd_error_endpoint(const struct etcd_error *error);

/**
 * The server's own number for it: gRPC's status code. 0 when no server said it.
 *
 * Does not block. Any thread.
 */
int32_t etcd_error_server_code(const struct etcd_error *error);

/**
 * Of ETCD_ERR_COMPACTED: the oldest revision that is still kept. 0 where it is not known.
 *
 * Does not block. Any thread.
 */
int64_t etcd_error_compact_revision(const struct etcd_error *error);

/**
 * Whether the same may succeed later, and trying again can do no harm: 1 or 0. It is 0 for what somebody has to mend
 * first, as a certificate or an address.
 *
 * Does not block. Any thread.
 */
int etcd_error_is_retriable(const struct etcd_error *error);

/**
 * Whether something that changes keys or leases was sent and not properly answered, so that it may have been
 * done, or may be done later: 1 or 0. Read before trying again.
 *
 * Does not block. Any thread.
 */
int etcd_error_is_outcome_unknown(const struct etcd_error *error);

/**
 * Frees an error. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_error_free(struct etcd_error *error);

/**
 * New options, as the environment has them (ETCD_API_*), and otherwise as CONFIGURATION.md lists them.
 *
 * Returns options for etcd_options_free(). What is wrong with the environment, etcd_client_open() tells.
 * Does not block. Any thread.
 */
struct etcd_options *etcd_options_new(void);

/**
 * Sets an option by its name.
 *
 * name: as in CONFIGURATION.md: "endpoints", "request_timeout_ms" …
 * value: as text: "http://127.0.0.1:2379", "500", "true". UTF-8, copied.
 * err: where the details go, or NULL; for etcd_error_free(). An unknown name or a value that is not allowed is
 *   told with what is.
 * Does not block. The thread that builds the options.
 * Errors: ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_options_set(struct etcd_options *options,
                             const char *name,
                             const char *value,
                             struct etcd_error **err);

/**
 * Frees options. Clients that were opened with them keep what they need. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_options_free(struct etcd_options *options);

/**
 * Opens a client. Contacts nobody: a server that is not there is found out by the first call that needs it, whose
 * error says which endpoints were tried, and what each one said. The handle is an etcd_session, too: the classic
 * functions take it.
 *
 * options: copied; NULL for what the environment says.
 * out: the client, for etcd_client_close() or etcd_client_free().
 * err: where the details go, or NULL; for etcd_error_free(). The same wherever it appears: what it points to is
 *   overwritten, with NULL on success.
 * Does not block, but reads the files that the options name. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT (also: a file that can't be read), ETCD_ERR_UNSUPPORTED.
 */
etcd_status etcd_client_open(const struct etcd_options *options,
                             struct etcd_client **out,
                             struct etcd_error **err);

/**
 * Closes a client gracefully: takes nothing new, waits until what was submitted has ended, ends watches, and
 * waits until all threads that the library has started for it are gone. (A store behind mem:// has one of its own,
 * which ends with the last who uses the store.) What has not ended in time ends with ETCD_ERR_CLOSED.
 *
 * client: NULL is fine. Afterwards it is no client any more, whatever this returns: every other call fails with
 *   ETCD_ERR_CLOSED, freeing it does nothing.
 * timeout_ms: -1: as long as it takes.
 * Blocks, at most for the timeout. Any thread.
 * Errors: ETCD_ERR_TIMEOUT: something had to be cut off, or a thread is not gone yet. ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
 */
etcd_status etcd_client_close(struct etcd_client *client,
                              int64_t timeout_ms,
                              struct etcd_error **err);

/**
 * Closes a client without waiting: calls in progress on other threads return with ETCD_ERR_CLOSED, every tag that is
 * open ends with it. What came from the client (replies, events, errors) stays as it is.
 *
 * client: NULL is fine and does nothing, and so does one that was closed, or inherited by a fork.
 * Does not block. Any thread, in any order with whatever belongs to the client.
 */
void etcd_client_free(struct etcd_client *client);

/**
 * What a client has been through, in numbers that only grow (but for ETCD_COUNTER_OPEN).
 *
 * counter: ETCD_COUNTER_*.
 * Returns the number; -1 for a counter that this version does not have, and for what is no client.
 * Does not block. Any thread.
 */
int64_t etcd_client_counter(struct etcd_client *client, int32_t counter);

/**
 * A cancel handle that is not triggered.
 *
 * Returns a handle for etcd_cancel_free().
 * Does not block. Any thread.
 */
struct etcd_cancel *etcd_cancel_new(void);

/**
 * Ends all calls that were given this handle, now and from now on, with ETCD_ERR_CANCELED.
 *
 * cancel: NULL is fine and does nothing.
 * Does not block. Any thread.
 */
void etcd_cancel_trigger(struct etcd_cancel *cancel);

/**
 * Frees a cancel handle. Calls that were given it go on, and can't be ended by it any more. NULL is fine and does
 * nothing.
 *
 * Does not block. Any thread.
 */
void etcd_cancel_free(struct etcd_cancel *cancel);

/**
 * Runs a request and waits for its answer.
 *
 * client, request: the request may be run by many threads at once.
 * timeout_ms: until then there is an answer or an error, whatever servers do. -1: as long as the
 *   client's option request_timeout_ms says. 0: only what needs no waiting (the store inside this library)
 *   succeeds.
 * cancel: ends the call from another thread; NULL: nothing does but closing the client.
 * out: the reply, for etcd_reply_free(); NULL: it is not wanted.
 * Blocks until the answer, at most for the timeout. Any thread.
 * Errors: all of them. etcd_error_is_outcome_unknown() tells whether a change may have been made all the same.
 */
etcd_status etcd_call(struct etcd_client *client,
                      const struct etcd_request *request,
                      int64_t timeout_ms,
                      struct etcd_cancel *cancel,
                      struct etcd_reply **out,
                      struct etcd_error **err);

/**
 * Begins to read a range in pages. Contacts nobody yet.
 *
 * client, request: a get of many keys, in the order of their names; copied. Its limit is the size of a page; 0: 1000.
 * out: the pages, for etcd_pages_free().
 * Does not block. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT (also: a get that sorts or counts), ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
 */
etcd_status etcd_pages_open(struct etcd_client *client,
                            const struct etcd_request *request,
                            struct etcd_pages **out,
                            struct etcd_error **err);

/**
 * Reads the next page.
 *
 * timeout_ms, cancel: as in etcd_call().
 * out: the reply, for etcd_reply_free(); NULL when there are no more keys. Its count and revision are those of
 *   the whole range.
 * Blocks until the answer, at most for the timeout. One thread at a time; another one waits.
 * Errors: as etcd_call(); after one, the same page is read again by the next call. ETCD_ERR_COMPACTED: the
 *   revision that the pages are of is gone meanwhile.
 */
etcd_status etcd_pages_next(struct etcd_pages *pages,
                            int64_t timeout_ms,
                            struct etcd_cancel *cancel,
                            struct etcd_reply **out,
                            struct etcd_error **err);

/**
 * Frees pages. Replies stay. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_pages_free(struct etcd_pages *pages);

/**
 * Reads a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many.
 *
 * key: its bytes, copied. NULL is fine when key_len is 0. An empty key is no key: only a prefix may be empty.
 * Returns a request for etcd_request_free(). Its reply has the keys; a key that does not exist is success
 *   with no keys.
 * Does not block. Any thread, as for every constructor of a request.
 */
struct etcd_request *etcd_request_get(const uint8_t *key,
                                      size_t key_len);

/**
 * Writes a key.
 *
 * key, value: their bytes, copied. NULL is fine where the length is 0.
 * Returns a request for etcd_request_free(). Its reply has what was there before, if that is asked for
 *   (ETCD_FIELD_RETURN_PREVIOUS, etcd_reply_previous()).
 */
struct etcd_request *etcd_request_put(const uint8_t *key,
                                      size_t key_len,
                                      const uint8_t *value,
                                      size_t value_len);

/**
 * Deletes a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many.
 *
 * key: as in etcd_request_get().
 * Returns a request for etcd_request_free(). Its reply counts the keys that were deleted, and has them if
 *   that is asked for. That there was none is success. The conditions (ETCD_FIELD_IF_*) are about one key: with many
 *   they are refused (ETCD_ERR_INVALID_ARGUMENT); compare in a transaction.
 */
struct etcd_request *etcd_request_delete(const uint8_t *key,
                                         size_t key_len);

/**
 * A transaction: if all comparisons hold, does what was given with etcd_txn_then(), otherwise what was given
 * with etcd_txn_else(); all of it in one revision, or nothing.
 *
 * Returns a request for etcd_request_free(). Its reply tells which of the two it was
 *   (etcd_reply_succeeded()) and has a child for each operation. That a comparison fails is success.
 */
struct etcd_request *etcd_request_txn(void);

/**
 * Adds a comparison with a number.
 *
 * txn: from etcd_request_txn().
 * key: the key looked at, as in etcd_request_get(). ETCD_FIELD_PREFIX and ETCD_FIELD_RANGE_END, set right
 *   after this, make it many keys: it must hold for each of them.
 * target: ETCD_TARGET_*. relation: ETCD_RELATION_*, read as "what is there … value".
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
 */
etcd_status etcd_txn_compare_int(struct etcd_request *txn,
                                 const uint8_t *key,
                                 size_t key_len,
                                 int32_t target,
                                 int32_t relation,
                                 int64_t value);

/**
 * Adds a comparison with a value.
 *
 * txn, key, relation: as in etcd_txn_compare_int(). A key that does not exist has no value: nothing holds.
 * value: its bytes, copied.
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
 */
etcd_status etcd_txn_compare_value(struct etcd_request *txn,
                                   const uint8_t *key,
                                   size_t key_len,
                                   int32_t relation,
                                   const uint8_t *value,
                                   size_t value_len);

/**
 * Adds an operation that is done if all comparisons hold.
 *
 * txn: from etcd_request_txn().
 * op: a get, put, deletion or transaction without conditions of its own, copied: it may be freed at once. Transactions
 *   are nested 32 deep at most.
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, which running the request reports, too.
 */
etcd_status etcd_txn_then(struct etcd_request *txn,
                          const struct etcd_request *op);

/**
 * Adds an operation that is done if a comparison does not hold. Otherwise as etcd_txn_then().
 */
etcd_status etcd_txn_else(struct etcd_request *txn, const struct etcd_request *op);

/**
 * Forgets all history before a revision: it can't be read or watched any more.
 *
 * revision: the oldest that can still be read; 1 or more.
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_compact(int64_t revision);

/**
 * Grants a lease: keys attached to it go when it ends.
 *
 * ttl_s: seconds until it ends unless it is kept alive; the server may raise it.
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL.
 */
struct etcd_request *etcd_request_lease_grant(int64_t ttl_s);

/**
 * Ends a lease; its keys go with it.
 *
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_lease_revoke(int64_t lease);

/**
 * Starts a lease's TTL anew, once.
 *
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL; a TTL of 0:
 *   the lease is gone.
 */
struct etcd_request *etcd_request_lease_keep_alive(int64_t lease);

/**
 * How long a lease still lasts.
 *
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_TTL (-1: there is no such lease) and
 *   ETCD_FIELD_GRANTED_TTL; with ETCD_FIELD_KEYS also its keys, without their values.
 */
struct etcd_request *etcd_request_lease_ttl(int64_t lease);

/**
 * The ids of all leases.
 *
 * Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_LEASE for each.
 */
struct etcd_request *etcd_request_leases(void);

/**
 * The members of the cluster.
 *
 * Returns a request for etcd_request_free(). Its reply has a child for each, with ETCD_FIELD_MEMBER,
 *   ETCD_FIELD_NAME, ETCD_FIELD_PEER_URLS, ETCD_FIELD_CLIENT_URLS and ETCD_FIELD_IS_LEARNER.
 */
struct etcd_request *etcd_request_members(void);

/**
 * How each endpoint of the client's list is.
 *
 * Returns a request for etcd_request_free(). Its reply has a child for each endpoint, with
 *   ETCD_FIELD_ENDPOINT and ETCD_FIELD_STATUS: ETCD_OK, or why it did not answer, with ETCD_FIELD_MESSAGE. One
 *   that answered has ETCD_FIELD_VERSION, ETCD_FIELD_LEADER, ETCD_FIELD_DB_SIZE and what follows them.
 */
struct etcd_request *etcd_request_status(void);

/**
 * Makes the members of the cluster, as they advertise themselves to clients, the client's list of endpoints.
 *
 * Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_ENDPOINT for each.
 */
struct etcd_request *etcd_request_sync_members(void);

/**
 * Lists, raises or takes back alarms.
 *
 * action: ETCD_ALARM_LIST, ETCD_ALARM_RAISE or ETCD_ALARM_DISARM.
 * member: whose; 0: anybody's. alarm: ETCD_ALARM_ANY, ETCD_ALARM_NO_SPACE or ETCD_ALARM_CORRUPT.
 * Returns a request for etcd_request_free(). Its reply has a child with ETCD_FIELD_MEMBER and
 *   ETCD_FIELD_ALARM for each that was found, raised or taken back.
 */
struct etcd_request *etcd_request_alarm(int32_t action, int64_t member, int32_t alarm);

/**
 * A hash of all keys and their history, by which members are compared.
 *
 * revision: up to which; 0: now.
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_HASH and ETCD_FIELD_COMPACT_REVISION.
 */
struct etcd_request *etcd_request_hash(int64_t revision);

/**
 * Asks whether a user has this password. (For a client that acts for a user, set the options instead.)
 *
 * user, password: UTF-8, copied.
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_TOKEN, a secret. A wrong password:
 *   ETCD_ERR_UNAUTHENTICATED.
 */
struct etcd_request *etcd_request_authenticate(const uint8_t *user,
                                               size_t user_len,
                                               const uint8_t *password,
                                               size_t password_len);

/**
 * Watches a key; with ETCD_FIELD_PREFIX or ETCD_FIELD_RANGE_END, many. For etcd_submit() and
 * etcd_watcher_open() only.
 *
 * key: as in etcd_request_get().
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_watch(const uint8_t *key, size_t key_len);

/**
 * Sets a field that is a number or a flag.
 *
 * request: not run yet.
 * field: one of ETCD_FIELD_*, as far as the request has it.
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, which running the request reports, too.
 */
etcd_status etcd_request_set_int(struct etcd_request *request, int32_t field, int64_t value);

/**
 * Sets a field that is bytes.
 *
 * request, field: as in etcd_request_set_int().
 * data: copied. NULL is fine when len is 0.
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_TOO_LARGE, which running the request reports, too.
 */
etcd_status etcd_request_set_bytes(struct etcd_request *request,
                                   int32_t field,
                                   const uint8_t *data,
                                   size_t len);

/**
 * Frees a request. What was submitted with it goes on. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_request_free(struct etcd_request *request);

/**
 * The store's revision when the request was done; of a watch's changes, theirs.
 *
 * reply: NULL gives 0, as for every getter of a reply.
 * Does not block. Any thread, as for every getter of a reply.
 */
int64_t etcd_reply_revision(const struct etcd_reply *reply);

/**
 * How many there are: keys in the range whatever the limit (get), keys deleted (delete), changes (watch), children.
 */
int64_t etcd_reply_count(const struct etcd_reply *reply);

/**
 * Whether a get left keys out for the limit's sake: 1 or 0.
 */
int etcd_reply_more(const struct etcd_reply *reply);

/**
 * Whether all comparisons of a transaction held: 1 or 0.
 */
int etcd_reply_succeeded(const struct etcd_reply *reply);

/**
 * How many keys (or changes) the reply has.
 */
size_t etcd_reply_kvs(const struct etcd_reply *reply);

/**
 * A key of the reply.
 *
 * i: which, from 0.
 * out: filled in; its pointers live as long as the reply. With zeros when this fails.
 * out_size: sizeof *out, so that later versions know how much of it there is.
 * Errors: ETCD_ERR_KEY_NOT_FOUND: there are not so many. ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_reply_kv(const struct etcd_reply *reply,
                          size_t i,
                          struct etcd_kv *out,
                          size_t out_size);

/**
 * What was there before: of a put, at 0; of a deletion, the keys deleted, from 0; of a watch, what the change at i
 * replaced. Only if the request asked for it (ETCD_FIELD_RETURN_PREVIOUS).
 *
 * i, out, out_size: as in etcd_reply_kv().
 * Errors: ETCD_ERR_KEY_NOT_FOUND: nothing was there, or it is not known any more. ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_reply_previous(const struct etcd_reply *reply,
                                size_t i,
                                struct etcd_kv *out,
                                size_t out_size);

/**
 * How many children the reply has: of a transaction, one for each operation done; of members, leases, alarms and
 * endpoints, one for each.
 */
size_t etcd_reply_children(const struct etcd_reply *reply);

/**
 * A child of the reply.
 *
 * i: which, from 0.
 * Returns a reply that lives as long as its parent, and must not be freed; NULL when there are not so many.
 */
const struct etcd_reply *etcd_reply_child(const struct etcd_reply *reply,
                                          size_t i);

/**
 * A number of the reply.
 *
 * field: one of ETCD_FIELD_*, as far as the reply has it.
 * out: the number; 0 when this fails.
 * Errors: ETCD_ERR_KEY_NOT_FOUND: it has no such field. ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_reply_int(const struct etcd_reply *reply, int32_t field, int64_t *out);

/**
 * Bytes of the reply.
 *
 * field: one of ETCD_FIELD_*, as far as the reply has it.
 * data, len: where they are, and how many. They live as long as the reply. NULL and 0 when this fails.
 * Errors: ETCD_ERR_KEY_NOT_FOUND: it has no such field. ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_reply_bytes(const struct etcd_reply *reply,
                             int32_t field,
                             const uint8_t **data,
                             size_t *len);

/**
 * Frees a reply with its children. NULL is fine and does nothing. (Children, and replies of events, belong to
 * their owners.)
 *
 * Does not block. Any thread.
 */
void etcd_reply_free(struct etcd_reply *reply);

/**
 * A queue with nothing in it.
 *
 * max_bytes: how many bytes of changes may wait in it; a watch that comes with more waits until there is room
 *   (ETCD_WATCH_PARKED). Replies always fit. 0: 8 MiB.
 * out: the queue, for etcd_queue_free().
 * Does not block. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_queue_new(size_t max_bytes,
                           struct etcd_queue **out,
                           struct etcd_error **err);

/**
 * A descriptor that can be read while there is something to take, for poll(), epoll and the like. Don't read it:
 * taking events does. (A host that reads it all the same must then take events until there are none, or come
 * back by itself.)
 *
 * Returns the read end of a pipe, which belongs to the queue and lives as long; -1 when there is no descriptor.
 * Does not block. Any thread.
 */
int etcd_queue_fd(const struct etcd_queue *queue);

/**
 * The same for a host that closes what it is given, as Node's net.Socket does.
 *
 * Returns a descriptor that is the caller's to close; -1 when there is none.
 * Does not block. Any thread.
 */
int etcd_queue_dup_fd(const struct etcd_queue *queue);

/**
 * Starts a request whose events come out of a queue: one for most requests, many for a watch. Exactly one of
 * them is the last one of its tag (etcd_event_is_last()), whatever happens.
 *
 * client, queue, request: the request is copied, or kept: it may be freed at once.
 * tag: the caller's word for it; not 0, and not that of a request whose last event is still to come.
 * timeout_ms: as in etcd_call(). For a watch: until a server must have confirmed it. For a lock or campaign: as in
 *   etcd_acquire(). An observer has none.
 * Does not block. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED, ETCD_ERR_TOO_LARGE. Then nothing was
 *   started, and no event comes. All else comes as an event.
 */
etcd_status etcd_submit(struct etcd_client *client,
                        struct etcd_queue *queue,
                        const struct etcd_request *request,
                        uint64_t tag,
                        int64_t timeout_ms,
                        struct etcd_error **err);

/**
 * Ends what a tag stands for. Its last event still comes: with ETCD_ERR_CANCELED, or with what was faster.
 *
 * tag: one that is not in use is fine: it has ended.
 * Does not block. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED: this is no queue (any more).
 */
etcd_status etcd_queue_cancel(struct etcd_queue *queue,
                              uint64_t tag);

/**
 * Takes the next event.
 *
 * timeout_ms: how long to wait for one; -1: as long as it takes, 0: not at all.
 * out: the event, for etcd_event_free().
 * Blocks, at most for the timeout. Any thread; events of one tag come in order.
 * Errors: ETCD_ERR_TIMEOUT: nothing came. ETCD_ERR_CANCELED: etcd_queue_wake(). ETCD_ERR_CLOSED: the queue was freed.
 */
etcd_status etcd_queue_next(struct etcd_queue *queue,
                            int64_t timeout_ms,
                            struct etcd_event **out);

/**
 * Ends one wait in etcd_queue_next() with ETCD_ERR_CANCELED: the next one if nobody waits. The descriptor can be read
 * until then.
 *
 * Does not block. Any thread.
 */
void etcd_queue_wake(struct etcd_queue *queue);

/**
 * Takes many events at once, written one after the other into a buffer of the caller's, in the layout that
 * docs/packed-records.md describes.
 *
 * buf, cap: the buffer, aligned to 8 bytes. NULL is fine when cap is 0: so one asks how many bytes the next event needs.
 * used: how many bytes were written; with ETCD_ERR_TOO_LARGE, how many the next event needs.
 * records: how many events; 0: there are none at the moment.
 * Does not block. Any thread. When it leaves events behind, the descriptor can be read again.
 * Errors: ETCD_ERR_TOO_LARGE: not even one fits. ETCD_ERR_CANCELED, ETCD_ERR_CLOSED as in etcd_queue_next().
 *   ETCD_ERR_INVALID_ARGUMENT.
 */
etcd_status etcd_queue_read(struct etcd_queue *queue,
                            uint8_t *buf,
                            size_t cap,
                            size_t *used,
                            uint32_t *records);

/**
 * Takes the reply of an event whose packed record could not carry it (ETCD_PACKED_TAKE).
 *
 * tag: that of the record.
 * out: the reply, for etcd_reply_free().
 * Does not block. Any thread.
 * Errors: ETCD_ERR_KEY_NOT_FOUND: there is none, or it was taken. ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED.
 */
etcd_status etcd_queue_take_reply(struct etcd_queue *queue,
                                  uint64_t tag,
                                  struct etcd_reply **out);

/**
 * How many bytes of changes wait in a queue.
 *
 * Returns the number; -1 for what is no queue.
 * Does not block. Any thread.
 */
int64_t etcd_queue_bytes(const struct etcd_queue *queue);

/**
 * Frees a queue. What was submitted to it and has not ended is ended as by etcd_queue_cancel(), and no event comes any
 * more; a thread that waits in etcd_queue_next() returns with ETCD_ERR_CLOSED. The descriptor of etcd_queue_fd()
 * is closed, one of etcd_queue_dup_fd() is not.
 *
 * queue: NULL is fine and does nothing.
 * Does not block. Any thread, in any order with clients and events.
 */
void etcd_queue_free(struct etcd_queue *queue);

/**
 * The tag that the event belongs to.
 *
 * event: NULL gives 0, as for every getter of an event: 0 or NULL.
 * Does not block. Any thread, as for every getter of an event.
 */
uint64_t etcd_event_tag(const struct etcd_event *event);

/**
 * What happened: ETCD_EVENT_*.
 */
int32_t etcd_event_kind(const struct etcd_event *event);

/**
 * Whether no event of its tag comes after it: 1 or 0.
 */
int etcd_event_is_last(const struct etcd_event *event);

/**
 * How the operation ended, or why the watch did: what etcd_call() would have returned. ETCD_OK for all other events.
 */
etcd_status etcd_event_status(const struct etcd_event *event);

/**
 * The state of the watch: ETCD_WATCH_*. 0 for events that say nothing of it.
 */
int32_t etcd_event_watch_state(const struct etcd_event *event);

/**
 * The revision that the event is about: that of its reply or changes, or of the state of the watch.
 */
int64_t etcd_event_revision(const struct etcd_event *event);

/**
 * The details of a failure.
 *
 * Returns an error that lives as long as the event, and must not be freed; NULL when there is none.
 */
const struct etcd_error *etcd_event_error(const struct etcd_event *event);

/**
 * The reply to the operation, or the changes.
 *
 * Returns a reply that lives as long as the event, and must not be freed; NULL when there is none.
 */
const struct etcd_reply *etcd_event_reply(const struct etcd_event *event);

/**
 * Frees an event with its reply and error. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_event_free(struct etcd_event *event);

/**
 * Begins to watch.
 *
 * client, request: from etcd_request_watch(); it may be freed at once.
 * timeout_ms: until then a server must have confirmed the watch; -1: the client's option request_timeout_ms.
 * out: the watcher, for etcd_watcher_free().
 * Does not block: the first event, ETCD_WATCH_LIVE, tells that a server has confirmed it. Any thread.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
 */
etcd_status etcd_watcher_open(struct etcd_client *client,
                              const struct etcd_request *request,
                              int64_t timeout_ms,
                              struct etcd_watcher **out,
                              struct etcd_error **err);

/**
 * Waits for the next event of a watch: ETCD_EVENT_CHANGES, ETCD_EVENT_WATCH_STATE, or ETCD_EVENT_WATCH_END, the last
 * one.
 *
 * timeout_ms: -1: as long as it takes, 0: not at all. The watch goes on meanwhile.
 * out: the event, for etcd_event_free().
 * Blocks, at most for the timeout. Any thread.
 * Errors: ETCD_ERR_TIMEOUT: nothing came. ETCD_ERR_CANCELED: etcd_watcher_wake(). ETCD_ERR_CLOSED: the watcher was
 *   freed, or the end was told before.
 */
etcd_status etcd_watcher_next(struct etcd_watcher *watcher,
                              int64_t timeout_ms,
                              struct etcd_event **out);

/**
 * Ends one wait in etcd_watcher_next() with ETCD_ERR_CANCELED, the next one if nobody waits. The watch goes on.
 *
 * watcher: NULL is fine and does nothing.
 * Does not block. Any thread.
 */
void etcd_watcher_wake(struct etcd_watcher *watcher);

/**
 * Ends the watch and frees the watcher; a thread that waits in etcd_watcher_next() returns with ETCD_ERR_CLOSED.
 * Events stay. NULL is fine and does nothing.
 *
 * Does not block. Any thread.
 */
void etcd_watcher_free(struct etcd_watcher *watcher);

/**
 * Wants a lock: for etcd_acquire() and etcd_submit(). In one fair queue with `etcdctl lock`, etcd's own Lock RPC, and
 * programs that use etcd's package concurrency. It is kept alive until it is released or lost.
 *
 * name: the lock's name, not empty; copied. What it is known by: the keys NAME/….
 * Fields: ETCD_FIELD_TTL (seconds, 10 unless set) is how long it outlives a holder that died; ETCD_FIELD_VALUE is
 *   information for people who look at the queue. ETCD_FIELD_JOIN (0 unless set): 1 shares the place of whoever has the
 *   same value, which has to be set then: waiting or held, with its token and TTL; without such a place it queues. So a
 *   program that was started again goes on where it was, as long as its lease lives. What is shared is no longer one
 *   holder's: it is released for all by whoever releases it first, and its loss is told to each. Whoever has joined and
 *   gives up while it waits leaves the place to the others.
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_lock(const uint8_t *name,
                                       size_t name_len);

/**
 * Wants the leadership of an election: as etcd_request_lock(), in one queue with `etcdctl elect`.
 *
 * name: as in etcd_request_lock(). value: what is proclaimed once it leads; copied.
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_campaign(const uint8_t *name,
                                           size_t name_len,
                                           const uint8_t *value,
                                           size_t value_len);

/**
 * Follows an election: for etcd_submit() only. Its events (ETCD_EVENT_LEADER) tell who leads, beginning with now: each
 * leader and each value proclaimed, in order, once, through outages (also one that is there at the beginning) and
 * compactions.
 *
 * name: as in etcd_request_lock().
 * Returns a request for etcd_request_free().
 */
struct etcd_request *etcd_request_observe(const uint8_t *name,
                                          size_t name_len);

/**
 * Who leads an election, or holds a lock.
 *
 * name: as in etcd_request_lock().
 * Returns a request for etcd_request_free(). Its reply has one key, whose create_revision is the token and whose value
 *   is what is proclaimed; none while nobody leads.
 */
struct etcd_request *etcd_request_leader(const uint8_t *name,
                                         size_t name_len);

/**
 * Who holds a lock, and who waits for it.
 *
 * name: as in etcd_request_lock().
 * Returns a request for etcd_request_free(). Its reply has the keys of the queue in their order, the holder's first;
 *   their create_revision is the token. A child for each has ETCD_FIELD_LEASE and ETCD_FIELD_TTL, the seconds left.
 */
struct etcd_request *etcd_request_lock_queue(const uint8_t *name,
                                             size_t name_len);

/**
 * Finds a place in a lock's queue, whoever made it.
 *
 * name: as in etcd_request_lock(). token: the place's. 0: ETCD_FIELD_VALUE tells it, the value of that place and no other.
 * Returns a request for etcd_request_free(). Its reply has the place's key, and a child as in etcd_request_lock_queue().
 *   ETCD_ERR_NOT_HELD: there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value; the message has their tokens.
 */
struct etcd_request *etcd_request_lock_find(const uint8_t *name,
                                            size_t name_len,
                                            int64_t token);

/**
 * Takes a place out of a lock's queue, whoever made it: breaks the lock if it is the holder's, who is told.
 *
 * name: as in etcd_request_lock(). token: the place's; so nobody else's is ever broken. 0: as in etcd_request_lock_find().
 * Returns a request for etcd_request_free(). Its reply has the key that was removed, and the revision at which it was.
 *   ETCD_ERR_NOT_HELD: there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value; nothing was removed.
 */
struct etcd_request *etcd_request_lock_break(const uint8_t *name,
                                             size_t name_len,
                                             int64_t token);

/**
 * Starts the TTL of a place in a lock's queue anew, whoever made it.
 *
 * name: as in etcd_request_lock(). token: the place's. 0: as in etcd_request_lock_find().
 * Returns a request for etcd_request_free(). Its reply has ETCD_FIELD_LEASE and ETCD_FIELD_TTL. ETCD_ERR_NOT_HELD:
 *   there is none. ETCD_ERR_INVALID_ARGUMENT: several have the value.
 */
struct etcd_request *etcd_request_lock_renew(const uint8_t *name,
                                             size_t name_len,
                                             int64_t token);

/**
 * Releases a hold.
 *
 * hold: kept by the request; it may be freed at once, which releases it, too.
 * Returns a request for etcd_request_free(). Success: it is released. ETCD_ERR_NOT_HELD: it was not held any more. Any
 *   other error: no server has confirmed it; it is not renewed any more and ends with its lease.
 */
struct etcd_request *etcd_request_release(const struct etcd_hold *hold);

/**
 * Gives a leader's key another value, if it still leads: the next word that observers are told.
 *
 * hold: kept by the request. value: copied.
 * Returns a request for etcd_request_free(). ETCD_ERR_NOT_HELD: it does not lead any more.
 */
struct etcd_request *etcd_request_proclaim(const struct etcd_hold *hold,
                                           const uint8_t *value,
                                           size_t value_len);

/**
 * Waits until a lock or leadership is held.
 *
 * client, request: from etcd_request_lock() or etcd_request_campaign().
 * timeout_ms: how long to wait for others; -1: as long as it takes, 0: not at all: ETCD_ERR_TIMEOUT when somebody else
 *   holds it. On any failure its place in the queue is given up; after etcd_client_free(), with its TTL.
 * cancel: ends the wait from another thread; NULL: nothing does but closing the client.
 * out: the hold, for etcd_hold_free().
 * Blocks, at most for the timeout; 0: while the answers take, at most for the option request_timeout_ms. Any thread.
 * Errors: ETCD_ERR_TIMEOUT, ETCD_ERR_CANCELED; ETCD_ERR_LOST: its place in the queue vanished while it waited; those of
 *   etcd_call().
 */
etcd_status etcd_acquire(struct etcd_client *client,
                         const struct etcd_request *request,
                         int64_t timeout_ms,
                         struct etcd_cancel *cancel,
                         struct etcd_hold **out,
                         struct etcd_error **err);

/**
 * Takes what is held by a tag whose ETCD_EVENT_ACQUIRED came. The tag goes on: its last event tells of the release or
 * the loss, and canceling it, as freeing the queue does, releases what is held, taken or not.
 *
 * out: the hold, for etcd_hold_free().
 * Does not block. Any thread.
 * Errors: ETCD_ERR_KEY_NOT_FOUND: nothing is held by it (any more), or it was taken. ETCD_ERR_INVALID_ARGUMENT,
 *   ETCD_ERR_CLOSED.
 */
etcd_status etcd_queue_take_hold(struct etcd_queue *queue,
                                 uint64_t tag,
                                 struct etcd_hold **out);

/**
 * The fencing token: it grows with every new holder. A resource that refuses what comes with a smaller one than it has
 * seen is safe from holders that do not know yet that they are none.
 *
 * Returns the token; 0 for what is no hold.
 * Does not block. Any thread, as for every function on a hold.
 */
int64_t etcd_hold_token(const struct etcd_hold *hold);

/**
 * Whether it is held for sure, by this machine's own clock; asks nobody. Once 0, for good: it is 0 before the end of its
 * TTL can give the lock to the next one. What is broken by force is lost when a server tells of it.
 */
int etcd_hold_is_held(const struct etcd_hold *hold);

/**
 * For how many milliseconds it is held for sure yet, should no server be reached any more; 0: it is not.
 */
int64_t etcd_hold_remaining_ms(const struct etcd_hold *hold);

/**
 * The key that is its place in the queue.
 *
 * buf, cap: where its bytes go, as many as fit. len: how many it has.
 * Errors: ETCD_ERR_TOO_LARGE: they did not fit. ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
 */
etcd_status etcd_hold_key(const struct etcd_hold *hold,
                          uint8_t *buf,
                          size_t cap,
                          size_t *len);

/**
 * Lets a transaction be done only while it is held: adds a comparison of its key. That it fails is told by
 * etcd_reply_succeeded().
 *
 * txn: from etcd_request_txn(), not run yet.
 * Does not block. The thread that builds the request.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED, which running the request reports, too: it is never
 *   done without its guard.
 */
etcd_status etcd_hold_guard(const struct etcd_hold *hold,
                            struct etcd_request *txn);

/**
 * Frees a hold: it is released in the background. NULL is fine and does nothing.
 *
 * Does not block. Any thread, in any order with clients and queues.
 */
void etcd_hold_free(struct etcd_hold *hold);

/**
 * Ends a queue, its client and the client's holds when the calling thread ends, unless they were freed before: the queue
 * and the holds as by etcd_queue_free() and etcd_hold_free(), the client as by etcd_client_close(), in the background,
 * within 5 seconds. For hosts that end a thread without a word to the program that runs in it (Node's
 * `worker.terminate()`).
 *
 * client, queue: of several queues with the same client, each is given.
 * Does not block. The thread in question. On the main thread it is when the process exits, which is too late.
 * Errors: ETCD_ERR_INVALID_ARGUMENT, ETCD_ERR_CLOSED, ETCD_ERR_FORKED.
 */
etcd_status etcd_free_with_thread(struct etcd_client *client,
                                  struct etcd_queue *queue);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ETCD_API_H */
