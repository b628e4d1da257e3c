// The reviewer's side of the page: maps over images, notes, edits of the classifier, and their JSON file.

const FORMAT = { format: "knobo.edits", format_version: 1 };

function describeEdit(edit, head) {
  const concept = head.concepts.find((one) => one.id === edit.concept)?.name ?? edit.concept;
  const k = head.labels.findIndex((label) => String(label) === String(edit.class_name));
  const where = edit.class_name == null ? "any class" : head.classes[k] ?? edit.class_name;
  const what = {
    veto: `never use ${concept} for ${where}`,
    force_sign: `${concept} may only speak ${edit.sign > 0 ? "for" : "against"} ${where}`,
    pin: `fix the weight of ${concept} for ${where} at ${edit.value}`,
    release: `take back earlier edits of ${concept} for ${where}`,
  }[edit.edit] ?? `${edit.edit} ${concept}`;
  return what + (edit.why ? ` (${edit.why})` : "");
}

function mountMaps(root) {
  for (const choice of root.querySelectorAll("select[data-map]")) {
    choice.closest("[hidden]").hidden = false;
    const picture = choice.closest(".case-left").querySelector(".picture");
    choice.addEventListener("change", () => {
      for (const map of picture.querySelectorAll("img.map")) map.hidden = map.dataset.of !== choice.value;
    });
  }
}

class Review {
  constructor(root, page) {
    Object.assign(this, { root, page, head: page.head, edits: [], saved: true });
    for (const part of root.querySelectorAll("[data-js]")) part.hidden = false;
    this.find = (id) => root.getElementById(id);
    this.notes = () => root.querySelectorAll("textarea[data-note]");
    this.find("edit-add").addEventListener("click", () => this.addFromForm());
    this.find("edit-kind").addEventListener("change", () => this.showFields());
    this.find("edit-save").addEventListener("click", () => this.save());
    this.find("edit-load").addEventListener("change", (event) => this.load(event.target));
    root.addEventListener("knobo-edit", () => { this.saved = false; });
    for (const id of ["review-note", "reviewer"]) this.find(id).addEventListener("input", () => { this.saved = false; });
    for (const note of this.notes()) note.addEventListener("input", () => { this.saved = false; });
    for (const button of root.querySelectorAll("button[data-edit]")) {
      button.addEventListener("click", () => this.add(JSON.parse(button.dataset.edit)));
    }
    window.addEventListener("beforeunload", (event) => { if (!this.saved) event.preventDefault(); });
    this.showFields();
  }

  showFields() {
    const kind = this.find("edit-kind").value;
    const any = ["veto", "release"].includes(kind);
    this.find("edit-weight").disabled = kind !== "pin";
    this.find("edit-class").options[0].disabled = !any;
    if (!any && this.find("edit-class").value === "") this.find("edit-class").selectedIndex = 1;
  }

  addFromForm() {
    const kind = this.find("edit-kind").value;
    const k = this.find("edit-class").value;
    const edit = { edit: kind.split(":")[0], concept: this.find("edit-concept").value };
    if (k !== "") edit.class_name = this.head.labels[Number(k)];
    if (edit.edit === "force_sign") edit.sign = Number(kind.split(":")[1]);
    if (edit.edit === "pin") {
      const weight = this.find("edit-weight");
      if (weight.value === "" || !Number.isFinite(Number(weight.value))) {
        weight.focus();
        return this.say("Give the weight as a number.");
      }
      edit.value = Number(weight.value);
    }
    const why = this.find("edit-why").value.trim();
    if (why) edit.why = why;
    return this.add(edit);
  }

  add(edit) {
    this.edits.push(edit);
    this.saved = false;
    this.list();
    this.say(`Added: ${describeEdit(edit, this.head)}.`);
  }

  remove(edit) {
    this.edits = this.edits.filter((other) => other !== edit);
    this.saved = false;
    this.list();
    this.say(`Removed: ${describeEdit(edit, this.head)}.`);
    this.find("edit-add").focus();
  }

  list() {
    const items = this.edits.map((edit) => {
      const text = describeEdit(edit, this.head);
      const button = element("button", { type: "button", textContent: "Remove", aria: { label: `Remove: ${text}` } });
      button.addEventListener("click", () => this.remove(edit));
      return element("li", {}, `${text} `, button);
    });
    this.find("edit-list").replaceChildren(...items);
  }

  say(text) {
    this.find("edit-status").textContent = text;
  }

  document() {
    const who = this.find("reviewer").value.trim();
    const when = new Date().toISOString().slice(0, 19) + "+00:00";
    const cases = [...this.page.cases].map(([key, one]) => {
      const values = [...one.values].map(([j, value]) => [this.head.concepts[j].id, value]);
      const note = this.root.querySelector(`textarea[data-note="${key}"]`)?.value.trim() ?? "";
      return { case: Number(key), ...(note && { note }), ...(values.length && { values: Object.fromEntries(values) }) };
    });
    const edits = this.edits.map((edit) => ({ ...edit, ...(who && { who: edit.who ?? who }), when: edit.when ?? when }));
    const changed = cases.filter((one) => "note" in one || "values" in one);
    return { ...FORMAT, edits, review: { note: this.find("review-note").value.trim(), who, cases: changed } };
  }

  save() {
    const text = JSON.stringify(this.document(), null, 2) + "\n";
    const link = element("a", { download: "edits.json", href: URL.createObjectURL(new Blob([text], { type: "application/json" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    this.saved = true;
    this.say("Saved as edits.json.");
  }

  async load(input) {
    const file = input.files[0];
    if (!file) return;
    try {
      this.restore(JSON.parse(await file.text()));
      this.say(`Loaded ${this.edits.length} edits.`);
    } catch (error) {
      this.say(`That file was not loaded: ${error.message}`);
    }
    input.value = "";
  }

  // Everything is checked before anything is changed, so that a broken file leaves the page as it was.
  restore(found) {
    if (found?.format !== FORMAT.format || found.format_version !== FORMAT.format_version || !Array.isArray(found.edits)) {
      throw new Error("it is not a knobo.edits document of version 1.");
    }
    const position = new Map(this.head.concepts.map((concept, j) => [concept.id, j]));
    const review = found.review ?? {};
    const records = (review.cases ?? []).map((record) => {
      const one = this.page.cases.get(String(record.case));
      const values = Object.entries(record.values ?? {}).map(([id, value]) => [position.get(id), value]);
      if (!one) throw new Error(`this page has no case ${record.case}.`);
      if (values.some(([j, value]) => j === undefined || typeof value !== "number" || !(value >= 0 && value <= 1))) {
        throw new Error(`case ${record.case} has a finding or value that does not fit this page.`);
      }
      return { one, values, key: String(record.case), note: record.note ?? "" };
    });
    this.edits = found.edits.map((edit) => ({ ...edit }));
    this.find("reviewer").value = review.who ?? "";
    this.find("review-note").value = review.note ?? "";
    for (const note of this.notes()) note.value = "";
    for (const one of this.page.cases.values()) one.reset();
    for (const { one, values, key, note } of records) {
      for (const [j, value] of values) one.set(j, value);
      this.root.querySelector(`textarea[data-note="${key}"]`).value = note;
    }
    this.list();
    this.saved = true;
  }
}
