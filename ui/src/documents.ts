// The documents of the API, generated from its OpenAPI document.
import type { components } from "./api-types";

type Schemas = components["schemas"];
export type Info = Schemas["Info"];
export type Builds = Schemas["Builds"];
export type BuildRow = Schemas["BuildRow"];
export type Build = Schemas["Build"];
export type Step = Schemas["StepDocument"];
export type StepState = Step["state"];
export type BuildStatus = BuildRow["status"];
export type Explanations = Schemas["Explanations"];
export type StepExplanation = Schemas["StepExplanation"];
export type Savings = Schemas["Savings"];
export type LogIndex = Schemas["LogIndex"];
export type LogLine = Schemas["LogLine"];
export type LogPage = Schemas["LogPage"];
export type LogMatches = Schemas["LogMatches"];
export type Comparison = Schemas["Comparison"];
export type StoreUsage = Schemas["StoreUsage"];
export type Pruned = Schemas["Pruned"];
export type AttachmentContent = Schemas["AttachmentContent"];
export type Problem = Schemas["Problem"];
export type Images = Schemas["Images"];
export type Image = Schemas["Image"];
export type Layer = Schemas["LayerDocument"];
export type LayerFiles = Schemas["LayerFiles"];
export type TreeNode = Schemas["Node"];
