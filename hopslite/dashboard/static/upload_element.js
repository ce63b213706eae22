// Files and folders that are dropped or chosen, sent one after the other, with progress.
const ARCHIVE = /\.(tar|tgz|tar\.gz|tar\.bz2|tar\.xz|zip)$/i;
const AT_ONCE = 3;
const POLL_MS = 400;
const MOST_FILES = 100000;

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}

export default {
  template: `<div class="hl-upload">
    <div class="hl-drop" :class="{ 'hl-over': over }" @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="drop">
      <div>{{ files.length ? summary : 'Drop files, a folder or an archive here' }}</div>
      <div class="hl-row" v-if="!busy">
        <button type="button" class="hl-small-button" @click="$refs.files.click()">choose files</button>
        <button type="button" class="hl-small-button" @click="$refs.folder.click()">choose a folder</button>
        <button type="button" class="hl-small-button" v-if="files.length" @click="clear">clear</button>
      </div>
      <input ref="files" type="file" multiple hidden aria-label="Files" @change="choose">
      <input ref="folder" type="file" webkitdirectory hidden aria-label="Folder" @change="choose">
    </div>
    <template v-if="files.length && !busy">
      <label class="hl-row"><input type="checkbox" v-model="extract" :disabled="!archives"> unpack archives{{ archives ? ' (' + archives + ')' : '' }}</label>
      <input class="hl-field" v-model="description" placeholder="description" aria-label="Description" maxlength="1000">
      <div class="hl-row"><button type="button" class="hl-start" @click="send">Upload</button></div>
    </template>
    <template v-if="busy">
      <div class="hl-meter" role="progressbar" aria-valuemin="0" aria-valuemax="100" :aria-valuenow="Math.round(100 * share)">
        <div :style="{ width: (100 * share) + '%' }"></div></div>
      <div class="hl-row"><span class="hl-soft" aria-live="polite">{{ status }}</span>
        <button type="button" class="hl-small-button hl-right" v-if="sending" @click="cancel">cancel</button></div>
    </template>
    <div class="hl-problem" role="alert" v-if="problem">{{ problem }}</div>
  </div>`,
  props: { name: String },
  data() {
    return { files: [], over: false, extract: false, description: "", busy: false, sending: false, status: "", share: 0, problem: "" };
  },
  computed: {
    archives() {
      return this.files.filter(({ path }) => ARCHIVE.test(path) && !path.includes("/")).length;
    },
    total() {
      return this.files.reduce((sum, { file }) => sum + file.size, 0);
    },
    summary() {
      return `${this.files.length} file${this.files.length === 1 ? "" : "s"}, ${size(this.total)}`;
    },
  },
  methods: {
    clear() {
      this.files = [];
      this.problem = "";
    },
    add(files) {
      this.problem = files.length > MOST_FILES ? `These are more than ${MOST_FILES} files; upload an archive of them.` : "";
      if (this.problem) return;
      const known = new Map(this.files.map((one) => [one.path, one]));
      for (const one of files) known.set(one.path, one);
      this.files = [...known.values()];
      this.extract = this.archives > 0 && this.archives === this.files.length;
    },
    choose(event) {
      const files = [...event.target.files];
      const isFolder = files.some((file) => file.webkitRelativePath);
      this.add(files.map((file) => ({ file, path: isFolder ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name })));
      event.target.value = "";
    },
    async drop(event) {
      this.over = false;
      if (this.busy) return;
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      try {
        const only = entries.length === 1 && entries[0].isDirectory; // as the command does: the content of one folder
        const lists = await Promise.all(entries.map((entry) => walk(entry, only ? null : "")));
        this.add(lists.flat());
      } catch (error) {
        this.problem = `It cannot be read: ${error.message}`;
      }
    },
    async send() {
      Object.assign(this, { busy: true, sending: true, problem: "", share: 0, status: "beginning" });
      try {
        const begun = await this.ask(`/api/data/${encodeURIComponent(this.name)}/uploads`, "POST");
        this.id = begun.id;
        await this.sendAll();
        this.sending = false;
        this.status = this.extract ? "unpacking" : "storing";
        const query = new URLSearchParams({ extract: this.extract ? "1" : "0", description: this.description });
        await this.ask(`/api/uploads/${this.id}/finish?${query}`, "POST");
        await this.wait();
      } catch (error) {
        if (!this.cancelled) this.problem = error.message;
      }
      this.busy = this.sending = this.cancelled = false;
    },
    async sendAll() {
      const queue = [...this.files];
      const sent = new Map();
      this.requests = new Set();
      const show = () => {
        const done = [...sent.values()].reduce((sum, count) => sum + count, 0);
        this.share = this.total ? done / this.total : 1;
        this.status = `${size(done)} of ${size(this.total)} sent`;
      };
      const work = async () => {
        for (let one = queue.shift(); one; one = queue.shift()) {
          await this.put(one, (count) => { sent.set(one.path, count); show(); });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    },
    put({ file, path }, progress) {
      return new Promise((done, failed) => {
        const request = new XMLHttpRequest();
        this.requests.add(request);
        request.open("PUT", `/api/uploads/${this.id}/files/${path.split("/").map(encodeURIComponent).join("/")}`);
        request.upload.addEventListener("progress", (event) => progress(event.loaded));
        request.addEventListener("load", () => {
          this.requests.delete(request);
          if (request.status < 300) { progress(file.size); done(); } else failed(new Error(`${path}: ${request.responseText}`));
        });
        request.addEventListener("error", () => failed(new Error(`${path}: the connection is lost`)));
        request.addEventListener("abort", () => failed(new Error("cancelled")));
        request.send(file);
      });
    },
    async wait() {
      for (;;) {
        const state = await this.ask(`/api/uploads/${this.id}`, "GET");
        if (state.state === "done") {
          this.files = [];
          this.$emit("uploaded", state.version);
          return;
        }
        if (state.state === "failed") throw new Error(state.text);
        this.share = state.total ? state.done / state.total : 1;
        this.status = `${state.text}${state.total ? `: ${size(state.done)} of ${size(state.total)}` : ""}`;
        await new Promise((done) => setTimeout(done, POLL_MS));
      }
    },
    async ask(url, method) {
      const answer = await fetch(url, { method });
      if (!answer.ok) throw new Error(await answer.text());
      return answer.json();
    },
    cancel() {
      this.cancelled = true;
      this.requests.forEach((request) => request.abort());
      fetch(`/api/uploads/${this.id}`, { method: "DELETE" });
    },
  },
};

async function walk(entry, prefix) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, path: (prefix ?? "") + entry.name }];
  }
  const reader = entry.createReader();
  const found = [];
  const inside = prefix === null ? "" : `${prefix}${entry.name}/`;
  for (;;) { // a reader gives some of its entries at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const child of some) found.push(...(await walk(child, inside)));
  }
}
