// A link that downloads figures as CSV.

import { save } from "./api.js";
import { element } from "./dom.js";

// The name of the file is the panel's, because the answer names none.
export function csvLink(id) {
  const link = element("a", { class: "quiet", download: `hookline-${id}.csv` }, "CSV");
  link.addEventListener("click", save);
  return link;
}
