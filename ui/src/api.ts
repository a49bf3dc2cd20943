// Requests to the API. A static report has the answers in the page, and asks no server.
import { useEffect, useRef, useState } from "preact/hooks";
import { plainText } from "./ansi";
import type { LogIndex, LogLine, LogMatches, LogPage, Problem } from "./documents";

export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** The answers of a report by path; the lines of logs by `build/…/log/lines?step=…`. */
type Report = Record<string, unknown>;

const report = readReport();

function readReport(): Report | null {
  const element = document.getElementById("report");
  return element ? (JSON.parse(element.textContent ?? "{}") as Report) : null;
}

export const isReport = report !== null;
/** The ID of the build of a report. */
export const reportRef = report ? String(report.ref) : "";

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  if (report) return fromReport(report, path) as T;
  return ask<T>(path, { signal });
}

export async function post<T>(path: string): Promise<T> {
  return ask<T>(path, { method: "POST" });
}

async function ask<T>(path: string, options: RequestInit): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("The server does not answer.", "Is `lamina ui` still running?");
  }
  if (answer.ok) return (await answer.json()) as T;
  const problem = (await answer.json().catch(() => null)) as Problem | null;
  throw new ApiError(problem?.error ?? `The server answered ${answer.status}.`, problem?.hint ?? "");
}

/** The address of a part of a build. */
export function buildPath(ref: string, ...rest: string[]): string {
  return ["/api/builds", encodeURIComponent(ref), ...rest].join("/");
}

function fromReport(answers: Report, path: string): unknown {
  const [place = "", query = ""] = path.split("?");
  const parameters = new URLSearchParams(query);
  if (place.endsWith("/log/lines")) return linesOfReport(answers, place, parameters);
  if (place.endsWith("/log/search")) return searchReport(answers, place, parameters.get("text") ?? "");
  const answer = answers[place];
  if (answer === undefined) throw new ApiError("The report does not have this view.", "");
  return answer;
}

/** Lines by number: a report does not have all lines of a long log. */
const linesByStep = new Map<string, Map<number, LogLine>>();

function linesOfReport(answers: Report, place: string, parameters: URLSearchParams): LogPage {
  const step = parameters.get("step") ?? "";
  let known = linesByStep.get(step);
  if (!known) {
    const lines = (answers[`${place}?step=${step}`] ?? []) as LogLine[];
    linesByStep.set(step, (known = new Map(lines.map((line) => [line.number, line]))));
  }
  const index = answers[place.replace(/\/lines$/, "")] as LogIndex;
  const total = index.steps.find((one) => one.step === step)?.lines ?? 0;
  const first = Number(parameters.get("first") ?? 0);
  const last = Math.min(total, first + Number(parameters.get("count") ?? 200));
  const lines: LogLine[] = [];
  for (let number = first; number < last; number += 1) {
    lines.push(known.get(number) ?? { number, time: 0, stream: 1, text: "(this line is not in the report)" });
  }
  return { step, total, lines };
}

function searchReport(answers: Report, place: string, text: string): LogMatches {
  const index = answers[place.replace(/\/search$/, "")] as LogIndex;
  const wanted = text.toLowerCase();
  const matches: LogMatches["matches"] = [];
  for (const { step } of index.steps) {
    const lines = (answers[`${place.replace(/search$/, "lines")}?step=${step}`] ?? []) as LogLine[];
    for (const line of lines) {
      if (plainText(line.text).toLowerCase().includes(wanted)) {
        if (matches.length === 1000) return { matches, more: true };
        matches.push({ step, line: line.number });
      }
    }
  }
  return { matches, more: false };
}

export interface Answer<T> {
  data: T | null;
  error: ApiError | null;
  reload: () => void;
}

/** The answer to a request. The old one stays while it is requested again. */
export function useApi<T>(path: string | null): Answer<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; error: ApiError | null }>({
    path: null,
    data: null,
    error: null,
  });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    get<T>(path, abort.signal).then(
      (data) => setState({ path, data, error: null }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const shown = error instanceof ApiError ? error : new ApiError(String(error), "");
        setState({ path, data: null, error: shown });
      },
    );
    return () => abort.abort();
  }, [path, turn]);
  const current = state.path === path ? state : { data: null, error: null };
  return { data: current.data, error: current.error, reload: () => setTurn((n) => n + 1) };
}

/** Call `changed` for events of a stream, at most once per `pause` milliseconds. */
export function useEvents(path: string | null, names: string[], changed: () => void, pause = 700): void {
  const latest = useRef(changed);
  latest.current = changed;
  useEffect(() => {
    if (path === null || isReport) return;
    const source = new EventSource(path);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let last = 0;
    const fire = () => {
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          last = Date.now();
          latest.current();
        },
        Math.max(0, last + pause - Date.now()),
      );
    };
    for (const name of names) source.addEventListener(name, fire);
    source.addEventListener("complete", () => source.close());
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [path]);
}

/** The time in seconds, which advances while `running`. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now() / 1000), 500);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
