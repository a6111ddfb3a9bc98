CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.images (
    image_id character varying(36) NOT NULL,
    owner character varying(256) NOT NULL,
    base_path character varying(512) NOT NULL,
    version character varying(64) NOT NULL,
    state character varying(16) NOT NULL,
    upload_id character varying(1024) NOT NULL,
    part_size bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disk_size bigint,
    disk_etag character varying(256),
    disk_last_modified timestamp with time zone,
    disk_cache_control character varying(512),
    chunked_chunk_size bigint,
    chunked_index_width integer,
    chunked_disk_sha256 character varying(64),
    chunked_manifest_size bigint,
    chunked_manifest_etag character varying(256),
    chunked_published_at timestamp with time zone,
    chunked_cache_control character varying(512),
    CONSTRAINT ck_images_ck_images_state CHECK (((state)::text = ANY ((ARRAY['uploading'::character varying, 'complete'::character varying])::text[])))
);
INSERT INTO public.alembic_version (version_num) VALUES ('0001');
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('46b8e3cf-6b23-4c1b-bfcd-5af6c12fb429', 'alice', '/images', 'b42a51d3f7961f61', 'complete', 'KV4i4xn8mcHHYaF4DwWHBT6V89JTg2J3LaU1m9E5yGBvFBSRm6doIjeLw', 5242880, '2026-11-30 18:15:28.253536+00', 3000, '"14e71eee8108cc0eb07f23a3b1fbc62a-1"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('647a3ee9-481a-468f-85e7-e5a73a560b43', 'alice', '/images', '84776335ed8c27f6', 'complete', 'CCiN7GJq2Sy9eUyXh7oCHV0FjJClp1sIYT4fLVT5ukuPWdcg57vjcPg4dw', 5242880, '2026-11-30 18:15:28.315949+00', 2560, '"1652baf2084cc8eaad8caf79e6565a0e-1"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform', 1024, 8, 'cf1f070d32b176702da4671058990ede5eb195c006f635e1dedce75be12cd788', 559, '"f74f3bbd49b12c4668f57eab12066a60"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform');
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('1d991f1b-859e-4ed5-9386-cc38c6dfefe6', 'alice', '/images', '07c38a0601a34dca', 'complete', 'INyBklWaKGwxwpEohIfkHA0OIs09LGPuxZVKlmvFl0TvLIan1CRbSAgxw', 5242880, '2026-11-30 18:15:28.393183+00', 5243880, '"0a18cea6472385f7ac540ad121decae6-2"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('a340ec90-18a6-4e8a-9e61-701c84fe28e8', 'alice', '/images', '12a3f5b0b0679507', 'complete', 'IJVyT3tl81T6bRPTmqg0oZA3u65uXDqeRqODCtyyuaMMPmJW5KzK7sdNw', 5242880, '2026-11-30 18:15:28.491838+00', 3072, '"7c608e4ce49e4fee6b5d8071bb91ae09-1"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform', 1024, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('2f985f3a-2eaa-489b-9d50-bd69ad5751e2', 'alice', '/images', 'c1c5131be80fcdab', 'uploading', 'jJADTjE801saba127UY3rdusZCKEUYDEeb4t48Gqg8Xq6aCVLKhbCsXBw', 5242880, '2026-11-30 18:15:28.563623+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('1246599c-c5b8-4386-b0cc-3db212f34eec', 'alice', '/images', 'fe9bb40bc5347f0e', 'uploading', 'YnmsE2ZMJnWruySxp92nI89yStyr1KnwzIYMPPww9e3yfOTWX1ZIkg', 5242880, '2026-11-30 18:15:28.574911+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('5a13623d-8c54-4b78-84e7-5e4951f1cfe5', 'alice', '/images', '98752e12037edb66', 'uploading', 'WC4iOkvBEAN0kZzUHBzyrGLi01D561awRajkKMiOlWTYrBcDxiQnbKkw', 5242880, '2026-11-30 18:15:28.612183+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('b905ebf3-737c-49a8-a1be-9309cd70bb22', 'auth0|bob/../*?%41', '/images', 'c39fd3e56d4ff10e', 'complete', '54JEraenTLEHfRScM8MO4HGYbyVOWLgkW1F54iZ7YCEO7o1xGmqDQX1w', 5242880, '2026-11-30 18:15:28.632923+00', 1, '"e37b1ca07717d94b790e2a8b6705fdf9-1"', '2026-11-30 18:15:28+00', 'private, no-store, no-transform', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.images (image_id, owner, base_path, version, state, upload_id, part_size, created_at, disk_size, disk_etag, disk_last_modified, disk_cache_control, chunked_chunk_size, chunked_index_width, chunked_disk_sha256, chunked_manifest_size, chunked_manifest_etag, chunked_published_at, chunked_cache_control) VALUES ('b8359c90-bef4-416f-b918-ce7850ce8d40', 'carol', '/images', '36a4ca3213ec11d0', 'uploading', 'JJKfWRiQ59HRVe9GubJsUXe6LTSxj3gbCU7apoCf06XUPzmwVKKEHArw', 5242880, '2026-11-30 18:15:28.657164+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.images
    ADD CONSTRAINT pk_images PRIMARY KEY (image_id);
