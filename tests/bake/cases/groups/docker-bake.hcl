group "default" {
  targets = ["images", "docs"]
}
group "images" {
  description = "All images"
  targets     = ["api", "web", "api"]
}
target "api" {
  description = "The API server"
  context     = "./services/../api"
  tags        = ["example.com/api:1", "", "example.com/api:1", "example.com/api:2"]
}
target "web" {
  dockerfile = "web.Dockerfile"
}
target "docs" {}
