// A log that is followed: read piece by piece from the server, searched in the browser. Lines become text nodes.
const PIECE = 256 * 1024; // bytes of one request
const MOST_LINES = 50000; // that are kept; the oldest go first
const LIVE_MS = 500;
const ENDED_MS = 5000;
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]/g;

export default {
  template: `<div class="hl-log">
    <div class="hl-log-bar">
      <select v-if="names.length > 1" class="hl-field" aria-label="Log" v-model="name" @change="restart">
        <option v-for="one in names" :key="one" :value="one">{{ one }}</option>
      </select>
      <input class="hl-field hl-log-search" type="search" placeholder="search" aria-label="Search the log" v-model="query"
        @input="search" @keydown.enter.prevent="jump($event.shiftKey ? -1 : 1)">
      <span class="hl-soft hl-log-count" aria-live="polite">{{ count }}</span>
      <button type="button" class="hl-small-button" @click="jump(-1)" :disabled="!marks.length" title="previous match (shift enter)">↑</button>
      <button type="button" class="hl-small-button" @click="jump(1)" :disabled="!marks.length" title="next match (enter)">↓</button>
      <span class="hl-spacer"></span>
      <button type="button" class="hl-small-button" :aria-pressed="wraps" @click="wraps = !wraps">wrap</button>
      <button type="button" class="hl-small-button" :aria-pressed="follows" @click="toggle">follow</button>
      <a class="hl-small-button" :href="source() + '?download=1'" download>download</a>
    </div>
    <div class="hl-log-lines" :class="{ 'hl-wraps': wraps }" ref="box" tabindex="0" role="log" aria-label="Output" @scroll="scrolled">
      <button v-if="first > 0" type="button" class="hl-small-button" @click="earlier">show earlier lines</button>
      <div ref="lines"></div>
      <div class="hl-empty" v-if="empty">{{ empty }}</div>
    </div>
  </div>`,
  props: { url: String, files: Array, live: Boolean },
  data() {
    return { names: this.files ?? [], name: (this.files ?? [])[0] ?? "", query: "", wraps: true, follows: true, first: 0, marks: [], at: -1, empty: "" };
  },
  computed: {
    count() {
      if (!this.query) return "";
      return this.marks.length ? `${this.at + 1} of ${this.marks.length}` : "no match";
    },
  },
  mounted() {
    this.restart();
  },
  watch: {
    files(names) {
      this.names = names;
      if (!this.name && names.length) { this.name = names[0]; this.restart(); }
    },
    live() {
      this.again(0);
    },
  },
  beforeUnmount() {
    this.ended = true;
    clearTimeout(this.timer);
  },
  methods: {
    source() {
      return `${this.url}/${this.name.split("/").map(encodeURIComponent).join("/")}`;
    },
    restart() {
      this.next = null;
      this.first = 0;
      this.open = null;
      this.decoder = new TextDecoder();
      this.$refs.lines.replaceChildren();
      this.generation = (this.generation ?? 0) + 1;
      this.again(0);
    },
    again(delay) {
      clearTimeout(this.timer);
      if (!this.ended) this.timer = setTimeout(() => this.poll(), delay);
    },
    async get(from, to) {
      const answer = await fetch(`${this.source()}?from=${from ?? -PIECE}${to === undefined ? "" : `&to=${to}`}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status === 404 ? "It has printed nothing." : `The log cannot be read now (${answer.status}).`);
      return [Number(answer.headers.get("X-From")), Number(answer.headers.get("X-Size")), new Uint8Array(await answer.arrayBuffer())];
    },
    async poll() {
      if (!this.name) { this.empty = "It has printed nothing."; return; }
      const generation = this.generation;
      let isMore = false;
      if (!document.hidden || this.next === null) {
        try {
          const [from, size, bytes] = await this.get(this.next);
          if (generation !== this.generation) return;
          if (size < (this.next ?? 0)) return this.restart(); // another attempt has begun
          if (this.next === null) this.first = from;
          this.next = from + bytes.length;
          isMore = bytes.length > 0 && this.next < size;
          this.add(this.decoder.decode(bytes, { stream: true }), this.next === from + bytes.length && from > 0 && this.first === from);
          this.empty = size ? "" : "It has printed nothing yet.";
        } catch (error) {
          if (generation === this.generation && this.next === null) this.empty = error.message;
        }
      }
      this.again(isMore ? 0 : this.live ? LIVE_MS : ENDED_MS);
    },
    // Add text at the end. A carriage return begins the line anew, as progress bars do.
    add(text, isCut) {
      if (!text) return;
      const parts = text.replace(ESCAPES, "").split("\n");
      if (isCut) parts.shift(); // half a line
      const made = document.createDocumentFragment();
      parts.forEach((part, at) => {
        if (this.open && at === 0) {
          this.open.textContent = latest(this.open.textContent + part);
        } else if (at < parts.length - 1 || part) {
          this.open = line(latest(part));
          made.append(this.open);
        }
        if (at < parts.length - 1) this.open = null;
      });
      const lines = this.$refs.lines;
      lines.append(made);
      while (lines.childNodes.length > MOST_LINES) lines.firstChild.remove();
      if (this.query) this.search();
      if (this.follows) this.toEnd();
    },
    async earlier() {
      const to = this.first;
      const from = Math.max(0, to - PIECE);
      const [, , bytes] = await this.get(from, to);
      const parts = new TextDecoder().decode(bytes).replace(ESCAPES, "").split("\n");
      if (from > 0) parts.shift();
      if (parts[parts.length - 1] === "") parts.pop();
      const box = this.$refs.box;
      const height = box.scrollHeight;
      this.follows = false;
      this.$refs.lines.prepend(...parts.map((part) => line(latest(part))));
      this.first = from;
      this.$nextTick(() => { box.scrollTop += box.scrollHeight - height; });
      if (this.query) this.search();
    },
    search() {
      const wanted = this.query.toLowerCase();
      const before = this.marks[this.at];
      this.marks = [];
      for (const row of this.$refs.lines.childNodes) {
        const isMatch = wanted !== "" && row.textContent.toLowerCase().includes(wanted);
        row.classList.toggle("hl-match", isMatch);
        if (isMatch) this.marks.push(row);
      }
      this.at = Math.max(0, this.marks.indexOf(before));
      if (wanted && this.marks.length && before === undefined) this.jump(0);
    },
    jump(by) {
      if (!this.marks.length) return;
      this.follows = false;
      this.marks[this.at]?.classList.remove("hl-current");
      this.at = (this.at + by + this.marks.length) % this.marks.length;
      this.marks[this.at].classList.add("hl-current");
      this.marks[this.at].scrollIntoView({ block: "center" });
    },
    toggle() {
      this.follows = !this.follows;
      if (this.follows) this.toEnd();
    },
    toEnd() {
      const box = this.$refs.box;
      this.$nextTick(() => { box.scrollTop = box.scrollHeight; });
    },
    scrolled() {
      const box = this.$refs.box;
      if (box.scrollHeight - box.scrollTop - box.clientHeight > 40 && box.scrollTop < (this.top ?? 0)) this.follows = false;
      this.top = box.scrollTop;
    },
  },
};

function latest(text) {
  const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
  return whole.slice(whole.lastIndexOf("\r") + 1);
}

function line(text) {
  const made = document.createElement("div");
  made.textContent = text;
  return made;
}
