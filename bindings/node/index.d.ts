/**
 * etcd for Node, over libetcd.
 *
 * Keys and values go in as strings (UTF-8), Buffers or Uint8Arrays, and come out as Buffers. Revisions, versions,
 * counts and times are always of type `number`: they are exact below 2^53, which a store reaches after 285 years of a
 * million writes a second (and a number above is refused, never rounded). Ids of leases, members and clusters have 63
 * or 64 bits, and are always of type `bigint`.
 *
 * What can't be right (a wrong type, NaN, a number that is not safe, a lone surrogate, an unknown option) is a
 * TypeError: thrown by what returns no promise, otherwise the promise's rejection. All other failures are EtcdErrors; what
 * contradicts itself (a deletion of many keys with conditions, a watch of neither puts nor deletions) is an
 * InvalidArgumentError, told in the same way before anything is sent.
 */

/// <reference types="node" />

/** What a key or value may be given as. Strings must be well-formed: no lone surrogates. */
export type Bytes = string | Uint8Array;

/**
 * Keys: one, all that start with a prefix (an empty one: all there are), or all from `start` on, up to and without `end`
 * (left out: to the last). Neither `start` nor `end` may be empty.
 */
export type Keys = Bytes
  | { prefix: Bytes; start?: undefined; end?: undefined }
  | { start: Bytes; end?: Bytes | undefined; prefix?: undefined };

/** What every call takes. */
export interface CallOptions {
  /** Milliseconds until there is an answer or an error; the option `requestTimeoutMs` unless set. */
  timeout?: number;
  /**
   * Ends the call: it is rejected with an AbortError (see CanceledError), whose `outcomeUnknown` tells whether a write
   * may have been made all the same. Aborted before the call: nothing is sent.
   */
  signal?: AbortSignal;
}

/** How a client is opened. Every option of the library's CONFIGURATION.md may stand here, in camel case. */
export interface OpenOptions {
  /** Where to find etcd: "host:port", "https://host:port", "unix://path", "mem://" for the store in the library. */
  endpoints?: string | string[];
  /** The file of libetcd. Otherwise ETCD_LIBRARY, the package's own, the repository's or the system's. */
  library?: string;
  /** How long a call may take, in milliseconds, repetitions included; 5000 unless set. */
  requestTimeoutMs?: number;
  /** How long the connection to one endpoint may take. */
  connectTimeoutMs?: number;
  /** How many times one call may be sent again. Only what can do no harm is. */
  retryLimit?: number;
  /** How many repetitions all calls may spend; each success earns a tenth of one back. */
  retryBudget?: number;
  /** How often the list of endpoints is made anew from the members of the cluster; 0: never. */
  syncIntervalMs?: number;
  maxRequestBytes?: number;
  maxReplyBytes?: number;
  defaultPort?: number;
  defaultScheme?: 'auto' | 'http' | 'https';
  user?: string;
  password?: string;
  passwordFile?: string;
  /** A token that the servers accept (a JWT), instead of user and password. */
  token?: string;
  tokenFile?: string;
  /** PEM file with the certificate authorities that may vouch for servers. */
  caFile?: string;
  certFile?: string;
  keyFile?: string;
  serverName?: string;
  /** Put before every key on its way to the servers, and taken off on its way back. */
  namespace?: string;
}

/** A key with its value and history. */
export interface KeyValue {
  key: Buffer;
  value: Buffer;
  /** The revision at which the key came to life. */
  createRevision: number;
  /** The revision of its last change. */
  modRevision: number;
  /** How many times it was put since it came to life. */
  version: number;
  /** The lease that it is attached to; 0n: none. */
  lease: bigint;
}

export interface GetOptions extends CallOptions {
  /** As it was at this revision; 0: now. */
  revision?: number;
  /** Let one member answer from what it has, which may be old. */
  serializable?: boolean;
}

export interface FilterOptions extends GetOptions {
  /** At most so many keys; 0: all. */
  limit?: number;
  /** Leave values out: they come as empty Buffers. */
  keysOnly?: boolean;
  minModRevision?: number;
  maxModRevision?: number;
  minCreateRevision?: number;
  maxCreateRevision?: number;
}

export interface RangeOptions extends FilterOptions {
  sortBy?: 'key' | 'version' | 'createRevision' | 'modRevision' | 'value';
  sortOrder?: 'ascending' | 'descending';
}

export interface PageOptions extends FilterOptions {
  /** How many keys are read at a time; 1000 unless set. */
  pageSize?: number;
}

export interface Range {
  kvs: KeyValue[];
  /** How many keys are in the range, whatever the limit. */
  count: number;
  /** Whether keys were left out for the limit's sake. */
  more: boolean;
  /** The store's revision when it was read. */
  revision: number;
}

/**
 * Conditions: where one of those given does not hold, the call is rejected with CompareFailedError, and nothing is done.
 * Conditions that can't hold together are such a case. Of many keys, a transaction has them (`compare`).
 */
export interface Conditions {
  /** Only if there is such a key. false: no condition. */
  ifPresent?: boolean;
  /** Only if this is its value. */
  ifValue?: Bytes;
  /** Only if it was last changed at this revision; 0: only if there is no such key. */
  ifModRevision?: number;
  /** Only if it was created at this revision; 0: only if there is no such key. */
  ifCreateRevision?: number;
}

export interface PlainPutOptions {
  /** The lease to attach the key to; 0n: none. Not with `ttl` or `ignoreLease`. */
  lease?: bigint;
  /** Tell what was there before. */
  previous?: boolean;
  /** Keep the value that is there: the key must exist, and the value given be empty. */
  ignoreValue?: boolean;
  /** Keep the lease that is there: the key must exist. Not with `lease` or `ttl`. */
  ignoreLease?: boolean;
}

export interface PutOptions extends PlainPutOptions, Conditions, CallOptions {
  /** Seconds: under a new lease of its own, so long. 0: without one, for good. Not with `lease` or `ignoreLease`. */
  ttl?: number;
  /** Only if there is no such key. false: no condition. */
  ifAbsent?: boolean;
}

export interface PutResult {
  revision: number;
  /** What was there before; null: nothing, or it was not asked for. */
  previous: KeyValue | null;
  /** The lease made for `ttl`; otherwise 0n. */
  lease: bigint;
}

/** For many keys: without conditions. */
export interface DeleteManyOptions extends CallOptions {
  /** Tell what was there before. */
  previous?: boolean;
}

/** For one key. */
export interface DeleteOptions extends DeleteManyOptions, Conditions {}

export interface DeleteResult {
  revision: number;
  /** How many keys were deleted. None is no failure. */
  deleted: number;
  previous: KeyValue[];
}

/** How a comparison reads: "what is there … value". */
export type Relation = '==' | '=' | '!=' | '>' | '<';

/** A comparison, made by `compare`. */
export interface Comparison { readonly relation: number }

/** An operation of a transaction, made by `op`. */
export interface Operation { readonly kind: 'get' | 'put' | 'delete' | 'txn' }

/** Makes comparisons. Of many keys, it must hold for each of them. */
export const compare: {
  /** With the value; a key that does not exist has none: nothing holds. */
  value(keys: Keys, relation: Relation, value: Bytes): Comparison;
  /** With the number of puts; 0 when there is no such key. */
  version(keys: Keys, relation: Relation, version: number): Comparison;
  /** With the creation revision; 0 when there is no such key. */
  createRevision(keys: Keys, relation: Relation, revision: number): Comparison;
  /** With the revision of the last change; 0 when there is no such key. */
  modRevision(keys: Keys, relation: Relation, revision: number): Comparison;
  /** With the lease; 0n for none. */
  lease(keys: Keys, relation: Relation, lease: bigint): Comparison;
  /** That there is such a key. */
  exists(keys: Keys): Comparison;
  /** That there is no such key. */
  missing(keys: Keys): Comparison;
};

/** Makes operations for transactions. Their results stand in TxnResult.results, in the same order. */
export const op: {
  get(keys: Keys, options?: Omit<RangeOptions, keyof CallOptions>): Operation;
  put(key: Bytes, value: Bytes, options?: PlainPutOptions): Operation;
  delete(keys: Keys, options?: { previous?: boolean }): Operation;
};

export type OpResult =
  | ({ type: 'get' } & Range)
  | { type: 'put'; previous: KeyValue | null; revision: number }
  | { type: 'delete'; deleted: number; previous: KeyValue[]; revision: number }
  | ({ type: 'txn' } & TxnResult);

export interface TxnResult {
  /** Whether all comparisons held. That they did not is no failure. */
  succeeded: boolean;
  revision: number;
  /** One for each operation that was done. */
  results: OpResult[];
}

/**
 * A transaction that is being written down: if all comparisons hold, what `do` has is done, otherwise what `else` has;
 * all of it in one revision, or nothing. (No method is called `then`, since JavaScript would take it for a promise.)
 */
export interface Transaction {
  /** Adds comparisons. */
  if(...comparisons: Comparison[]): this;
  /** Adds what is done if all of them hold. */
  do(...operations: Array<Operation | Transaction>): this;
  /** Adds what is done if one does not. */
  else(...operations: Array<Operation | Transaction>): this;
  /** Does it. */
  commit(options?: CallOptions): Promise<TxnResult>;
}

export interface LeaseState {
  id: bigint;
  /** Seconds that are left, or were granted; 0 or -1: there is no such lease (any more). */
  ttl: number;
}

export interface Leases {
  /**
   * Grants a lease of so many seconds; the server may raise them. `id`: the one to give it. Where the answer does not
   * come (a timeout, an abort) there may be a lease that nobody knows; it ends by itself.
   */
  grant(ttl: number, options?: CallOptions & { id?: bigint }): Promise<LeaseState>;
  /** Ends a lease; its keys go with it. */
  revoke(id: bigint, options?: CallOptions): Promise<void>;
  /** Starts a lease's TTL anew, once. A `ttl` of 0: it is gone. */
  keepAliveOnce(id: bigint, options?: CallOptions): Promise<LeaseState>;
  /** How long it still lasts (-1: there is no such lease), and with `keys: true` what is attached to it. */
  timeToLive(id: bigint, options?: CallOptions & { keys?: boolean }):
    Promise<LeaseState & { grantedTtl: number; keys: Buffer[] }>;
  /** The ids of all leases. */
  list(options?: CallOptions): Promise<bigint[]>;
}

export interface WatchOptions extends CallOptions {
  /** The first revision of interest; 0: from now on. */
  startRevision?: number;
  /** Tell what each change replaced. */
  previous?: boolean;
  /** Leave puts out. Not with `noDeletes`: nothing would be left to watch (InvalidArgumentError, thrown by `watch()`). */
  noPuts?: boolean;
  /** Leave deletions out. Not with `noPuts`. */
  noDeletes?: boolean;
  /** After a compaction, tell what has changed (`resynced`) instead of ending. Keeps the keys' names in memory. */
  resync?: boolean;
  /** Tell now and then that there were no changes up to a revision (state 'progress'). */
  progress?: boolean;
  /** One item for each revision, with all its changes, instead of one for each change. */
  batches?: boolean;
  /** The iterator also gives the states, in their place between the changes. */
  states?: boolean;
  /** Keeps the process alive while the watch is open. */
  ref?: boolean;
  /** How many bytes of changes may wait for a slow reader; beyond it the watch is parked. 0: 8 MiB. */
  maxBytes?: number;
}

interface AnyChange {
  key: Buffer;
  /** The revision of the change. */
  revision: number;
  createRevision: number;
  version: number;
  lease: bigint;
  /** What it replaced; null: nothing, or it was not asked for, or it is not known any more. */
  previous: KeyValue | null;
  /** Found after a compaction: changes in between are not known. */
  resynced: boolean;
}

/** A change of a key. */
export type Change = (AnyChange & { type: 'put'; value: Buffer }) | (AnyChange & { type: 'delete'; value: null });

/** All changes of one revision. */
export interface Batch {
  type: 'changes';
  revision: number;
  resynced: boolean;
  changes: Change[];
}

/**
 * How a watch is going. 'live': a server has confirmed it, from `revision` on every change is told. 'resuming': its
 * stream broke for the reason `error`, and is being opened again behind the last change; nothing is lost. 'parked':
 * the reader is slow; it goes on when there is room. 'compacted': what came next is compacted, `revision` is the oldest
 * that is kept. 'reset': the servers are another cluster, or were restored; the end follows. 'progress': there were no
 * changes up to `revision`.
 */
export interface State {
  type: 'live' | 'resuming' | 'parked' | 'compacted' | 'reset' | 'progress' | 'unknown';
  revision: number;
  error: EtcdError | null;
}

/**
 * A watch: changes, once and in order, across restarts of servers. Ends when its loop is left (`break`), by `close()`,
 * by closing the client, or with an error: AbortError, CompactedError, OtherClusterError …
 */
export interface Watch<Item> extends AsyncIterableIterator<Item> {
  readonly state: State['type'] | 'opening' | 'closed';
  /** Resolves, when a server has confirmed the watch, with the revision from which on every change is told. */
  ready(): Promise<number>;
  /** Tells every state at once, before the changes that still wait for the reader. */
  on(event: 'state', listener: (state: State) => void): this;
  once(event: 'state', listener: (state: State) => void): this;
  off(event: 'state', listener: (state: State) => void): this;
  addListener(event: 'state', listener: (state: State) => void): this;
  removeListener(event: 'state', listener: (state: State) => void): this;
  /** Keeps the process alive while it is open. */
  ref(): this;
  /** The opposite, as at first. */
  unref(): this;
  next(): Promise<IteratorResult<Item, undefined>>;
  return(value?: any): Promise<IteratorResult<Item, undefined>>;
  /** Ends it: its loop ends. */
  close(): void;
  [Symbol.asyncIterator](): this;
}

/** What ends the wait for a lock. */
export interface LockOptions {
  /** Seconds, at least 1, for which it outlives a holder that died; 10 unless set. Kept alive by the library until it is released. */
  ttl?: number;
  /**
   * Milliseconds for which others are waited for; 0: not at all. `Infinity`, or nothing: as long as it takes. Not in
   * time: rejected with a TimeoutError, which tells who was before us.
   */
  wait?: number;
  /** Information for people who look at the queue; host and process unless set. */
  value?: Bytes;
  /**
   * Ends the wait: it is rejected with an AbortError (see CanceledError), and nothing is held. Once it is held, the
   * signal means nothing any more.
   */
  signal?: AbortSignal;
  /** Keeps the process alive while it is held. */
  ref?: boolean;
}

export interface ElectOptions extends LockOptions {
  /** What is proclaimed to all who ask who leads; host and process unless set. */
  value?: Bytes;
}

/**
 * A lock that is held. The library keeps it alive, also while the event loop is blocked, until it is released or lost.
 *
 * It is lost, for good, when no server has confirmed it for nearly its TTL, when its lease or its key is gone, and when
 * its client is closed. That is told before anybody else can have it (unless its key was removed by force): by `isHeld`,
 * by the event 'lost' and by `signal`.
 *
 * It does not keep the process alive (see `ref`). A Lock that nobody has any more is released when it is collected, unless
 * somebody still listens for its loss.
 *
 * @example
 * await using lock = await etcd.lock('jobs/nightly', { ttl: 10, wait: 5000 });
 * await fetch(url, { method: 'POST', headers: { 'x-token': `${lock.token}` }, signal: lock.signal });
 */
export interface Lock {
  /** The key that is its place in the queue. */
  readonly key: Buffer;
  /**
   * The fencing token, which is the key's creation revision: greater for every later holder. A resource that refuses a
   * smaller one than it has seen is written by one holder at a time. A Number, as all revisions.
   */
  readonly token: number;
  /** What it says to people who look at the queue, or what was proclaimed last. */
  readonly value: Buffer;
  /** Whether it is held for sure, by this machine's own clock; asks nobody. Once false, for good. */
  readonly isHeld: boolean;
  /** For how many milliseconds it is held for sure yet, should no server be reached any more. */
  readonly remainingMs: number;
  /** Aborted when it is lost, with the error as its reason; not by `release()`. For fetch and whatever takes a signal. */
  readonly signal: AbortSignal;
  /**
   * Lets a transaction be done only while it is held: adds comparisons of its key. Where it is not held any more,
   * `succeeded` is false. Returns the transaction.
   */
  guard(txn: Transaction): Transaction;
  /**
   * Releases it; the next one in the queue has it then. Resolves when a server has confirmed that it was held to the
   * end. A second call does nothing, and tells the same. An abort or a timeout ends the wait for that confirmation only:
   * the lock is given up in any case.
   * @throws NotHeldError: it was lost before, `cause` tells why; look at what was done meanwhile. Any other EtcdError:
   *   no server has confirmed it; it is not renewed any more, and ends with its TTL at the latest.
   */
  release(options?: CallOptions): Promise<void>;
  /** Keeps the process alive while it is held. */
  ref(): this;
  /** The opposite, as at first. */
  unref(): this;
  /**
   * Tells once that it is lost (LostError, or ClosedError when its client was closed); never after `release()`. Who
   * listens from a later turn of the event loop on than the one in which `lock()` resolved should look at `isHeld` as
   * well: what was told before is not told again.
   */
  on(event: 'lost', listener: (error: EtcdError) => void): this;
  once(event: 'lost', listener: (error: EtcdError) => void): this;
  off(event: 'lost', listener: (error: EtcdError) => void): this;
  addListener(event: 'lost', listener: (error: EtcdError) => void): this;
  removeListener(event: 'lost', listener: (error: EtcdError) => void): this;
  /** The same as `release()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The leadership of an election: a lock whose value is told to all who ask who leads.
 *
 * @example
 * const leadership = await etcd.elect('service', { value: 'http://10.0.0.1:8080' });
 * leadership.once('lost', error => process.exit(1));
 */
export interface Leadership extends Lock {
  /**
   * Proclaims another value, which observers are told; gives the revision.
   * @throws NotHeldError: it does not lead any more.
   */
  proclaim(value: Bytes, options?: CallOptions): Promise<{ revision: number }>;
  /** The same as `release()`. */
  resign(options?: CallOptions): Promise<void>;
}

/** Who leads an election, or holds a lock. */
export interface Leader {
  /** The key that is its place in the queue. */
  key: Buffer;
  /** What it proclaims. */
  value: Buffer;
  /** Its fencing token: the revision since which it is in the queue. */
  token: number;
  /** The revision at which it proclaimed the value. */
  revision: number;
  lease: bigint;
}

export interface ObserveOptions {
  /** Ends it with an AbortError. */
  signal?: AbortSignal;
  /** Keeps the process alive while it is open. */
  ref?: boolean;
}

export interface Member {
  id: bigint;
  name: string;
  peerUrls: string[];
  clientUrls: string[];
  isLearner: boolean;
}

/** How an endpoint is. Where `error` is not null it did not answer, and the rest is empty. */
export interface EndpointStatus {
  endpoint: string;
  error: EtcdError | null;
  version: string;
  member: bigint;
  /** 0n: there is none. */
  leader: bigint;
  cluster: bigint;
  isLearner: boolean;
  dbSize: number;
  dbSizeInUse: number;
  raftTerm: number;
  raftIndex: number;
  raftAppliedIndex: number;
  errors: string[];
}

export type AlarmKind = 'noSpace' | 'corrupt';
export interface Alarm { member: bigint; alarm: AlarmKind }

export interface Counters {
  /** Connections made so far. */
  connections: number;
  /** Attempts that were made again. */
  retries: number;
  /** Watches whose stream broke, and that went on. */
  watchesResumed: number;
  /** Watches that waited for their reader. */
  watchesParked: number;
  /** Locks that were lost. */
  holdsLost: number;
  /** Calls, watches and locks that have not ended. */
  open: number;
}

/**
 * A client of one cluster, made by `open()`. Calls may be in flight together, and are then done in any order. A call
 * that has not ended keeps the process alive; an idle client and a watch that a server has confirmed do not (see
 * `ref`).
 */
export interface Client {
  readonly leases: Leases;
  readonly isClosed: boolean;
  /** Reads a key; null: there is no such key. */
  get(key: Bytes, options?: GetOptions): Promise<KeyValue | null>;
  /** Reads a key's value as UTF-8. */
  getString(key: Bytes, options?: GetOptions): Promise<string | null>;
  /** Reads many keys in one answer. */
  getRange(keys: Keys, options?: RangeOptions): Promise<Range>;
  /** Reads many keys in pages, all of one revision, in the order of their bytes. Without `keys`: all there are. */
  getAll(keys?: Keys, options?: PageOptions): AsyncGenerator<KeyValue, void, undefined>;
  /** How many keys there are. */
  count(keys: Keys, options?: GetOptions): Promise<number>;
  /** Writes a key. */
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutResult>;
  /** The same as `put`. */
  set(key: Bytes, value: Bytes, options?: PutOptions): Promise<PutResult>;
  /** Deletes a key. */
  delete(key: Bytes, options?: DeleteOptions): Promise<DeleteResult>;
  /**
   * Deletes keys.
   * @throws InvalidArgumentError: many keys with conditions (which a transaction has), and nothing was done.
   */
  delete(keys: Keys, options?: DeleteManyOptions): Promise<DeleteResult>;
  /** Begins a transaction. */
  txn(): Transaction;
  /** Watches keys. Begins at once; what is put before `ready()` may be missed, unless `startRevision` is set. */
  watch(keys: Keys, options?: WatchOptions & { batches?: false; states?: false }): Watch<Change>;
  watch(keys: Keys, options: WatchOptions & { batches?: false; states: true }): Watch<Change | State>;
  watch(keys: Keys, options: WatchOptions & { batches: true; states?: false }): Watch<Batch>;
  watch(keys: Keys, options: WatchOptions & { batches: true; states: true }): Watch<Batch | State>;
  watch(keys: Keys, options: WatchOptions): Watch<Change | Batch | State>;
  /**
   * Waits for a lock: in one fair queue with `etcdctl lock` and with programs in Go. Keeps the process alive until it is
   * held.
   * @throws TimeoutError: others held it for as long as `wait`. LostError: its place in the queue vanished. Those of
   *   every call, where no server can be reached.
   * @example
   * await using lock = await etcd.lock('jobs/nightly', { wait: 0 });
   */
  lock(name: Bytes, options?: LockOptions): Promise<Lock>;
  /** Waits for the leadership of an election: as `lock()`, in one queue with `etcdctl elect`. */
  elect(name: Bytes, options?: ElectOptions): Promise<Leadership>;
  /**
   * Follows an election, beginning with now: each leader and each value proclaimed, in order, once, through outages and
   * compactions; null while nobody leads.
   * @example
   * for await (const leader of etcd.observe('service')) console.log(leader?.value.toString() ?? 'nobody');
   */
  observe(name: Bytes, options?: ObserveOptions): Watch<Leader | null>;
  /** Who leads an election, or holds a lock; null: nobody. */
  leader(name: Bytes, options?: CallOptions): Promise<Leader | null>;
  /** The members of the cluster. */
  members(options?: CallOptions): Promise<Member[]>;
  /** How each endpoint is. */
  status(options?: CallOptions): Promise<EndpointStatus[]>;
  /** Makes the members of the cluster the client's list of endpoints; gives the list. */
  syncMembers(options?: CallOptions): Promise<string[]>;
  /** Forgets all history before a revision. `physical`: waits until it is gone from the database, too. */
  compact(revision: number, options?: CallOptions & { physical?: boolean }): Promise<void>;
  /** The alarms that are raised. */
  alarms(options?: CallOptions): Promise<Alarm[]>;
  /** Raises an alarm. */
  raiseAlarm(alarm: Alarm, options?: CallOptions): Promise<void>;
  /** Takes an alarm back, as `alarms()` tells it. One whose reason is still there comes back. */
  disarmAlarm(alarm: Alarm, options?: CallOptions): Promise<void>;
  /** A hash of all keys and their history, by which members are compared. */
  hash(options?: CallOptions & { revision?: number }): Promise<{ hash: number; compactRevision: number }>;
  /** Asks whether a user has this password; gives a token, a secret. */
  authenticate(user: string, password: string, options?: CallOptions): Promise<string>;
  /** What the client has been through. */
  counters(): Counters;
  /** Keeps the process alive while the client is open. */
  ref(): this;
  /** The opposite, as at first. */
  unref(): this;
  /**
   * Takes nothing new, ends watches, releases locks (whose holders are told of the loss first), waits for what is in
   * flight (at most `timeout` milliseconds, 5000 unless set; what has not ended by then is rejected with ClosedError) and
   * closes. Never rejects for what servers do; a second call
   * waits for the first.
   */
  close(options?: { timeout?: number }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a client. Contacts nobody: a server that is not there is found out by the first call. Without an argument, the
 * environment says where (ETCD_API_ENDPOINTS).
 */
export function open(where?: string | string[] | OpenOptions): Client;

/** A failure that the library told. Statuses without a class of their own are of this one. */
export class EtcdError extends Error {
  /** "ETCD_ERR_TIMEOUT" … */
  readonly code: string;
  /** Its number in C. */
  readonly status: number;
  /** The same may succeed later, and trying again can do no harm. */
  readonly retriable: boolean;
  /** A change was sent and not properly answered: it may have been made. Read before trying again. */
  readonly outcomeUnknown: boolean;
  /** Where it failed; null when no endpoint was involved. */
  readonly endpoint: string | null;
  /** gRPC's number for it, when a server said it; otherwise 0. */
  readonly serverCode: number;
}

/** No libetcd that will do was found. The message says what was tried, and what helps. `code` is 'ETCD_LIBRARY'. */
export class LibraryError extends Error { readonly code: 'ETCD_LIBRARY' }

/** The servers refused an argument, or it can't be right. */
export class InvalidArgumentError extends EtcdError {}
/** The client was closed. */
export class ClosedError extends EtcdError {}
/** A signal was aborted. Its `name` is 'AbortError', as Node's own; `cause` is the signal's reason. */
export class CanceledError extends EtcdError {}
/** Nothing came in time. */
export class TimeoutError extends EtcdError {}
/** Not built into the library, or not offered by this server. */
export class UnsupportedError extends EtcdError {}
/** No memory, threads or file descriptors. */
export class NoResourceError extends EtcdError {}
/** No server could be reached, or none can serve at the moment. */
export class UnavailableError extends EtcdError {}
/** One side does not accept the other's certificate. */
export class TlsError extends EtcdError {}
/** Something answered, but not as etcd does. */
export class BadReplyError extends EtcdError {}
/** The servers are not the cluster that the client began with, or were restored from a backup. */
export class OtherClusterError extends EtcdError {}
/** The asked history is compacted. */
export class CompactedError extends EtcdError {
  /** The oldest revision that is still kept; 0 where it is not known. */
  readonly compactRevision: number;
}
/** The asked revision does not exist yet. */
export class FutureRevisionError extends EtcdError {}
/** Wrong or missing credentials. */
export class UnauthenticatedError extends EtcdError {}
/** The user may not do this. */
export class PermissionDeniedError extends EtcdError {}
/** The request or its answer is over a limit. */
export class TooLargeError extends EtcdError {}
/** The server's database is full. */
export class NoSpaceError extends EtcdError {}
/** There is no such lease (any more). */
export class LeaseNotFoundError extends EtcdError {}
/** The server asks to slow down. */
export class TooManyRequestsError extends EtcdError {}
/** The server refused for another reason. */
export class RefusedError extends EtcdError {}
/** There is no such key, where one was needed. */
export class KeyNotFoundError extends EtcdError {}
/** The condition of a put or deletion does not hold: nothing was done. */
export class CompareFailedError extends EtcdError {}
/** A lock or leadership was lost. */
export class LostError extends EtcdError {}
/** Nobody holds the lock with this token. */
export class NotHeldError extends EtcdError {}
