# What an instance of my-service needs: to register and deregister itself.
service "my-service" {
  policy = "write"
}
