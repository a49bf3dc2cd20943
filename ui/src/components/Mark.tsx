// The mark of a state: an icon with a colour. A text or a label always goes with it.
import type { BuildStatus, StepState } from "../documents";

export type State = StepState | BuildStatus;

const WORDS: Record<State, string> = {
  waiting: "waiting",
  running: "running",
  ran: "ran",
  cached: "cached",
  failed: "failed",
  canceled: "canceled",
  completed: "completed",
  error: "failed",
};

const TONES: Record<State, string> = {
  waiting: "waiting",
  running: "running",
  ran: "ran",
  cached: "cached",
  failed: "failed",
  canceled: "canceled",
  completed: "cached",
  error: "failed",
};

export function stateWord(state: State): string {
  return WORDS[state];
}

export function tone(state: State): string {
  return TONES[state];
}

export function MarkShape({ state }: { state: State }) {
  switch (state) {
    case "ran":
      return <path d="M3.2 8.4l3 3 6.6-7" class="stroke" />;
    case "completed":
      return <path d="M3.2 8.4l3 3 6.6-7" class="stroke" />;
    case "cached":
      return <path d="M9.2 1.5L3.5 9h4l-.9 5.5L12.5 7h-4z" class="fill" />;
    case "failed":
    case "error":
      return <path d="M4 4l8 8M12 4l-8 8" class="stroke" />;
    case "canceled":
      return <path d="M3.5 8h9" class="stroke" />;
    case "running":
      return (
        <>
          <circle cx="8" cy="8" r="5.5" class="ring" />
          <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" class="stroke arc" />
        </>
      );
    case "waiting":
      return <circle cx="8" cy="8" r="5" class="stroke dots" />;
  }
}

export function Mark({ state, word = false }: { state: State; word?: boolean }) {
  return (
    <span class={`mark tone-${tone(state)}`}>
      <svg viewBox="0 0 16 16" width="14" height="14" role={word ? undefined : "img"} aria-hidden={word} aria-label={word ? undefined : stateWord(state)}>
        <MarkShape state={state} />
      </svg>
      {word && <span>{stateWord(state)}</span>}
    </span>
  );
}
