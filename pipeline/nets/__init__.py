"""Networks: building one, its weights, a forward pass, views of images, features of a backbone."""
