// Asks the API. The addresses are relative, so that the page also works below a path of a proxy.

import { find, text } from "./dom.js";
import { say } from "./words.js";

const REQUEST_TIMEOUT_MS = 15_000;

// The API, or a proxy before it, answered with an error, or nothing answered (status 0). `parameter` is
// the one that the API refuses. The API's texts are in English, so notice.js has its own.
export class Problem extends Error {
  constructor(status, { isOfApi = false, parameter = "", detail = "" } = {}) {
    super(detail);
    this.status = status;
    this.isOfApi = isOfApi;
    this.parameter = parameter;
  }
}

export function address(path, parameters = {}) {
  const asked = Object.entries(parameters).filter(([, value]) => value);
  return `v1/${path}?${new URLSearchParams(asked)}`;
}

export async function ask(path, parameters, signal) {
  const answer = await open(address(path, parameters), "application/json", signal);
  try {
    return await answer.json();
  } catch (failure) {
    // The connection was lost, or the time was over, within the answer.
    if (signal?.aborted) throw failure;
    throw new Problem(0);
  }
}

// Returns the answer of a request that is allowed; asks the reader for a token if the API wants one.
export async function open(url, accept, signal, headers = {}) {
  const token = sessionStorage.getItem("hookline-token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const limits = [AbortSignal.timeout(REQUEST_TIMEOUT_MS), signal].filter(Boolean);
  const streams = accept === "text/event-stream";
  let answer;
  try {
    answer = await fetch(url, { headers: { Accept: accept, ...headers }, cache: "no-cache", signal: streams ? signal : AbortSignal.any(limits) });
  } catch (failure) {
    if (signal?.aborted) throw failure;
    throw new Problem(0);
  }
  if (answer.status === 401) {
    await newToken(token);
    return open(url, accept, signal, headers);
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

async function problem(answer) {
  const isOfApi = answer.headers.get("Content-Type")?.startsWith("application/problem+json") ?? false;
  return new Problem(answer.status, isOfApi ? { isOfApi, ...(await answer.json()) } : {});
}

// Saves what a link leads to, under the link's name: a link cannot carry the token.
export async function save(event) {
  if (!sessionStorage.getItem("hookline-token")) return;
  event.preventDefault();
  const { href, download } = event.currentTarget;
  const answer = await open(href, "text/csv");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = download;
  link.click();
  URL.revokeObjectURL(link.href);
}

let asking = null;

// Several requests are refused at once; the reader is asked once.
function newToken(refused) {
  if (sessionStorage.getItem("hookline-token") !== refused) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const dialog = find("#token");
    const field = find("input", dialog);
    text(find(".refused", dialog), refused ? say("tokenRefused") : "");
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.onclose = () => {
      sessionStorage.setItem("hookline-token", field.value.trim());
      field.value = "";
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}
