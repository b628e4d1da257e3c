// What-if controls of a case: set findings to other values and see what the classifier would say.
// The arithmetic is that of Explanation.intervene. Text reaches the page as text only, never as markup.

const MINUS = "\u2212";
const plain = (x, digits = 2) => {
  const text = x.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", MINUS);
};
const signed = (x, digits = 2) => (Number(x.toFixed(digits)) > 0 ? "+" : "") + plain(x, digits);
const chance = (p) => (p < 0.01 ? "< 0.01" : p > 0.99 ? "> 0.99" : p.toFixed(2));

const logitsOf = (head, start, activations) =>
  head.weights.map((row, k) => row.reduce((sum, weight, j) => sum + weight * activations[j], start[k]));

function probabilitiesOf(logits) {
  if (logits.length === 2) return logits.map((z) => 1 / (1 + Math.exp(-z)));
  const top = Math.max(...logits);
  const parts = logits.map((z) => Math.exp(z - top));
  const total = parts.reduce((a, b) => a + b, 0);
  return parts.map((part) => part / total);
}

function element(tag, properties = {}, ...children) {
  const { aria = {}, data = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

function setBar(bar, share) {
  const fill = bar.firstElementChild;
  fill.className = share >= 0 ? "for" : "against";
  Object.assign(fill.style, { left: "auto", right: "auto", width: `${50 * Math.min(Math.abs(share), 1)}%` });
  fill.style[share >= 0 ? "left" : "right"] = "50%";
}

class Case {
  constructor(root, head, record) {
    Object.assign(this, { root, head, given: record.activations, start: record.start });
    this.values = new Map();
    this.controls = new Map();
    this.before = probabilitiesOf(logitsOf(head, this.start, this.given));
    this.first = this.before.indexOf(Math.max(...this.before));
    this.shown = this.first;
    const panel = root.querySelector(".what-if");
    panel.hidden = false;
    panel.addEventListener("toggle", () => this.build(panel), { once: true });
  }

  get activations() {
    return this.given.map((value, j) => this.values.get(j) ?? value);
  }

  contribution(k, j, value) {
    return this.head.weights[k][j] * (value - this.head.reference[j]);
  }

  set(j, value) {
    if (value === null || value === this.given[j]) this.values.delete(j);
    else this.values.set(j, Math.min(Math.max(value, 0), 1));
    this.update();
    this.root.dispatchEvent(new CustomEvent("knobo-edit", { bubbles: true }));
  }

  reset() {
    for (const j of [...this.values.keys()]) this.set(j, null);
  }

  build(panel) {
    const size = (j) => Math.abs(this.contribution(this.first, j, this.given[j]));
    const used = this.given.map((_, j) => j).filter((j) => this.head.weights.some((row) => row[j] !== 0));
    used.sort((a, b) => size(b) - size(a));
    const options = this.head.classes.map((name, k) => new Option(name, k, false, k === this.shown));
    const choice = element("select", {}, ...options);
    choice.addEventListener("change", () => { this.shown = Number(choice.value); this.update(); });
    const undo = element("button", { type: "button", textContent: "Undo all" });
    undo.addEventListener("click", () => this.reset());
    this.status = element("p", { className: "status", role: "status" });
    const list = element("div", { className: "what-if-rows" }, ...used.map((j) => this.row(j)));
    const bar = element("div", { className: "toolbar" }, element("label", {}, "Bars: for or against ", choice), undo);
    panel.append(this.status, bar, list);
    this.update();
  }

  row(j) {
    const name = this.head.concepts[j].name;
    const button = (text, value) => {
      const made = element("button", { type: "button", textContent: text, aria: { label: `${name}: ${text}` } });
      made.addEventListener("click", () => this.set(j, value));
      return made;
    };
    const input = (properties) => {
      const made = element("input", { min: 0, max: 1, aria: { label: `Activation of ${name}` }, ...properties });
      const read = () => made.value !== "" && made.checkValidity() && this.set(j, Number(made.value));
      made.addEventListener("input", read);
      return made;
    };
    const parts = {
      absent: button("absent", 0),
      present: button("present", 1),
      undo: button("as read", null),
      range: input({ type: "range", step: 0.01 }),
      number: input({ type: "number", step: "any" }),
      contribution: element("output", { aria: { label: `Contribution of ${name}` } }),
      bar: element("span", { className: "diverging", aria: { hidden: true } }, element("span")),
    };
    this.controls.set(j, parts);
    return element(
      "div", { className: "what-if-row", role: "group", data: { control: this.head.concepts[j].id }, aria: { label: name } },
      element("span", { className: "name", textContent: name }),
      element("span", { className: "buttons" }, parts.absent, parts.present, parts.undo),
      element("span", { className: "inputs" }, parts.range, parts.number),
      element("span", { className: "effect" }, parts.contribution, parts.bar),
    );
  }

  update() {
    const activations = this.activations;
    const logits = logitsOf(this.head, this.start, activations);
    const now = probabilitiesOf(logits);
    const all = (k) => activations.map((value, j) => this.contribution(k, j, value));
    this.updateProbabilities(now);
    this.updateTable(activations, all(this.first), logits[this.first]);
    const values = all(this.shown);
    const longest = Math.max(...values.map(Math.abs), 1e-12);
    for (const [j, parts] of this.controls) this.updateRow(j, parts, activations[j], values[j], longest);
    if (this.status) this.status.textContent = this.sentence(now);
    this.root.classList.toggle("edited", this.values.size > 0);
  }

  updateProbabilities(now) {
    for (const row of this.root.querySelectorAll("[data-class]")) {
      const k = Number(row.dataset.class);
      row.dataset.value = now[k];
      row.querySelector(".bar span").style.width = `${100 * now[k]}%`;
      row.querySelector(".num").textContent = chance(now[k]);
    }
  }

  // The table that the page came with: the same findings, with the values as they are now.
  updateTable(activations, values, logit) {
    const rows = [...this.root.querySelectorAll("[data-concept]")];
    const named = rows.map((row) => Number(row.dataset.concept));
    const rest = values.reduce((sum, value, j) => sum + (named.includes(j) ? 0 : value), 0);
    const longest = Math.max(...named.map((j) => Math.abs(values[j])), Math.abs(rest), 1e-12);
    const write = (row, selector, text) => { const cell = row.querySelector(selector); if (cell) cell.textContent = text; };
    for (const row of rows) {
      const j = Number(row.dataset.concept);
      write(row, ".activation", activations[j].toFixed(2));
      write(row, ".contribution", signed(values[j]));
      row.classList.toggle("changed", this.values.has(j));
      setBar(row.querySelector(".diverging"), values[j] / longest);
    }
    for (const row of this.root.querySelectorAll("[data-rest]")) {
      write(row, ".contribution", signed(rest));
      setBar(row.querySelector(".diverging"), rest / longest);
    }
    for (const row of this.root.querySelectorAll("[data-logit]")) write(row, ".contribution", plain(logit));
  }

  updateRow(j, parts, value, contribution, longest) {
    if (document.activeElement !== parts.number) parts.number.value = Number(value.toFixed(4));
    parts.range.value = value;
    parts.absent.setAttribute("aria-pressed", this.values.has(j) && value === 0);
    parts.present.setAttribute("aria-pressed", this.values.has(j) && value === 1);
    parts.undo.disabled = !this.values.has(j);
    parts.contribution.textContent = signed(contribution);
    parts.contribution.dataset.value = contribution;
    setBar(parts.bar, contribution / longest);
  }

  sentence(now) {
    const { classes } = this.head;
    const read = `As read: ${classes[this.first]} ${chance(this.before[this.first])}.`;
    if (!this.values.size) return read;
    const best = now.indexOf(Math.max(...now));
    const many = this.values.size === 1 ? "1 finding" : `${this.values.size} findings`;
    const verdict = best === this.first ? "still" : "the decision flips to";
    return `${read} With ${many} changed: ${verdict} ${classes[best]} ${chance(now[best])}.`;
  }
}

function mountCases(root) {
  const block = root.querySelector("script.knobo-data");
  if (!block) return { cases: new Map() };
  const data = JSON.parse(block.textContent);
  const cases = new Map();
  for (const part of root.querySelectorAll("[data-case]")) {
    const record = data.cases[part.dataset.case];
    if (record) cases.set(part.dataset.case, new Case(part, data.head, record));
  }
  return { ...data, cases };
}
