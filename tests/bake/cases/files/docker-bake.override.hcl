target "app" { tags = ["override"] }
group "default" { targets = ["app", "extra"] }
