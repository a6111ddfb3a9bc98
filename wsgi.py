"""What `gunicorn wsgi:app` and `flask --app wsgi run` load."""

from image_gateway.serving.wsgi import make_app

app = make_app()
