'use strict';
// Transactions, as they are written down until they are committed.

const TRANSACTION = Symbol('transaction');
const KINDS = ['get', 'put', 'delete', 'txn'];

/** A transaction that is being written down. There is no method `then`: JavaScript would take it for a promise. */
class Transaction {
  #commit;
  #plan = { kind: 'txn', compares: [], done: [], otherwise: [], fields: [] };

  constructor(commit) {
    this.#commit = commit;
  }

  if(...comparisons) {
    for (const one of comparisons) {
      if (one?.relation === undefined) throw new TypeError('if() takes comparisons, as `compare` makes them');
    }
    this.#plan.compares.push(...comparisons);
    return this;
  }

  do(...ops) {
    this.#plan.done.push(...ops.map(planOf));
    return this;
  }

  else(...ops) {
    this.#plan.otherwise.push(...ops.map(planOf));
    return this;
  }

  async commit(options) {
    return this.#commit(this.#plan, options);
  }

  /** As it is now, for the one that it becomes a part of. */
  [TRANSACTION]() {
    const { compares, done, otherwise, ...rest } = this.#plan;
    return { ...rest, compares: [...compares], done: [...done], otherwise: [...otherwise] };
  }
}

function planOf(op) {
  if (op instanceof Transaction) return op[TRANSACTION]();
  if (!KINDS.includes(op?.kind)) throw new TypeError('an operation is made by `op`, or is a transaction of its own');
  return op;
}

module.exports = { Transaction };
