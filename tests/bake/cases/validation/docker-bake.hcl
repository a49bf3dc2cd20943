variable "PORT" {
  type        = number
  default     = 80
  description = "The port"
  validation {
    condition     = PORT > 0 && PORT < 65536
    error_message = "out of range"
  }
}
target "default" { args = { P = PORT } }
