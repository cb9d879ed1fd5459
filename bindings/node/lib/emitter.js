'use strict';
// What a watch and a lock are to their listeners. These stand apart from it, with what the library tells, so that it can
// be collected while that goes on.

class Listenable {
  #emitter;

  constructor(emitter) {
    this.#emitter = emitter;
  }

  on(event, listener) {
    this.#emitter.on(event, listener);
    return this;
  }

  once(event, listener) {
    this.#emitter.once(event, listener);
    return this;
  }

  off(event, listener) {
    this.#emitter.off(event, listener);
    return this;
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  removeListener(event, listener) {
    return this.off(event, listener);
  }
}

module.exports = { Listenable };
