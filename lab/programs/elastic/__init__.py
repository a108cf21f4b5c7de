"""Elasticsearch, Kibana and Filebeat as far as a deployment asks them."""
