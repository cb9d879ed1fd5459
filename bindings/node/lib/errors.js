'use strict';
// What failures become: one class for each status that a program may want to tell apart.

/** Any failure that libetcd told. */
class EtcdError extends Error {
  /** @param {{status: number, message: string, endpoint?: string, serverCode?: number, compactRevision?: number,
   *   retriable?: boolean, outcomeUnknown?: boolean}} details */
  constructor(details, options) {
    super(details.message, options);
    this.code = CODES.get(details.status) ?? 'ETCD_ERR_?';
    this.status = details.status;
    this.retriable = details.retriable ?? false;
    this.outcomeUnknown = details.outcomeUnknown ?? false;
    this.endpoint = details.endpoint || null;
    this.serverCode = details.serverCode ?? 0;
  }
}

function named(type, name) {
  Object.defineProperty(type, 'name', { value: name });
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true, writable: true });
  return type;
}
named(EtcdError, 'EtcdError');

/** The class of a status. */
const subclass = name => named(class extends EtcdError {}, name);

class CompactedError extends EtcdError {
  constructor(details, options) {
    super(details, options);
    this.compactRevision = details.compactRevision ?? 0;
  }
}
named(CompactedError, 'CompactedError');

/** ETCD_ERR_*, and the class of each. */
const STATUSES = [
  [10, 'INVALID_ARGUMENT', subclass('InvalidArgumentError')],
  [11, 'CLOSED', subclass('ClosedError')],
  // Named as Node names its own, so that code that looks for an abort finds it.
  [12, 'CANCELED', named(class extends EtcdError {}, 'AbortError')],
  [13, 'TIMEOUT', subclass('TimeoutError')],
  [14, 'UNSUPPORTED', subclass('UnsupportedError')],
  [15, 'FORKED', EtcdError],
  [16, 'PANIC', EtcdError],
  [17, 'NO_RESOURCE', subclass('NoResourceError')],
  [30, 'UNAVAILABLE', subclass('UnavailableError')],
  [31, 'TLS', subclass('TlsError')],
  [32, 'BAD_REPLY', subclass('BadReplyError')],
  [33, 'OTHER_CLUSTER', subclass('OtherClusterError')],
  [50, 'COMPACTED', CompactedError],
  [51, 'FUTURE_REVISION', subclass('FutureRevisionError')],
  [52, 'UNAUTHENTICATED', subclass('UnauthenticatedError')],
  [53, 'PERMISSION_DENIED', subclass('PermissionDeniedError')],
  [54, 'TOO_LARGE', subclass('TooLargeError')],
  [55, 'NO_SPACE', subclass('NoSpaceError')],
  [56, 'LEASE_NOT_FOUND', subclass('LeaseNotFoundError')],
  [57, 'TOO_MANY_REQUESTS', subclass('TooManyRequestsError')],
  [58, 'REFUSED', subclass('RefusedError')],
  [70, 'KEY_NOT_FOUND', subclass('KeyNotFoundError')],
  [71, 'COMPARE_FAILED', subclass('CompareFailedError')],
  [72, 'LOST', subclass('LostError')],
  [73, 'NOT_HELD', subclass('NotHeldError')],
];

const CODES = new Map(STATUSES.map(([status, code]) => [status, `ETCD_ERR_${code}`]));
const CLASSES = new Map(STATUSES.map(([status, , type]) => [status, type]));
const CLOSED = 11;
const CANCELED = 12;
const NO_RESOURCE = 17;
const TOO_LARGE = 54;
const NOT_HELD = 73;

/** The error of a status, of the class that belongs to it. */
function errorOf(details, options) {
  return new (CLASSES.get(details.status) ?? EtcdError)(details, options);
}

/** What an `etcd_error **` was given; frees it. */
function takeError(raw, pointer, status) {
  const error = errorOf({
    status,
    message: raw.errorMessage(pointer) ?? `status ${status}`,
    endpoint: raw.errorEndpoint(pointer),
    serverCode: raw.errorServerCode(pointer),
    retriable: raw.errorIsRetriable(pointer) === 1,
    outcomeUnknown: raw.errorIsOutcomeUnknown(pointer) === 1,
  });
  raw.errorFree(pointer);
  return error;
}

const closed = what => errorOf({ status: CLOSED, message: `${what} was closed` });

/** What a call that was aborted before it began is rejected with. */
const aborted = reason => errorOf({ status: CANCELED, message: 'aborted before it began: nothing was sent' }, { cause: reason });

// AbortError is its name, CanceledError what it is exported as: the one is a global convention, the other ours.
const classes = Object.fromEntries(STATUSES.filter(([, , type]) => type !== EtcdError)
  .map(([status, , type]) => [status === CANCELED ? 'CanceledError' : type.name, type]));

module.exports = { EtcdError, classes, errorOf, takeError, closed, aborted, STATUSES, CANCELED, NO_RESOURCE, TOO_LARGE, NOT_HELD };
