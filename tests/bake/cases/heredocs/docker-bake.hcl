name = "world"
target "default" {
  dockerfile-inline = <<EOT
FROM alpine
RUN echo "hello ${name}" && \
  echo "$HOME $${HOME}"
  EOT
  args = {
    indented = <<-EOT
        first
          second ${name}

        third
      EOT
    loop = <<-EOT
      %{ for n in [1, 2] ~}
      line ${n}
      %{ endfor ~}
      end
    EOT
  }
}
