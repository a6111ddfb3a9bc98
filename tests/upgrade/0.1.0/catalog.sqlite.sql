BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE images (
	image_id VARCHAR(36) NOT NULL, 
	owner VARCHAR(256) NOT NULL, 
	base_path VARCHAR(512) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	upload_id VARCHAR(1024) NOT NULL, 
	part_size BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	disk_size BIGINT, 
	disk_etag VARCHAR(256), 
	disk_last_modified DATETIME, 
	disk_cache_control VARCHAR(512), 
	chunked_chunk_size BIGINT, 
	chunked_index_width INTEGER, 
	chunked_disk_sha256 VARCHAR(64), 
	chunked_manifest_size BIGINT, 
	chunked_manifest_etag VARCHAR(256), 
	chunked_published_at DATETIME, 
	chunked_cache_control VARCHAR(512), 
	CONSTRAINT pk_images PRIMARY KEY (image_id), 
	CONSTRAINT ck_images_ck_images_state CHECK (state IN ('uploading', 'complete'))
);
INSERT INTO "images" VALUES('46b8e3cf-6b23-4c1b-bfcd-5af6c12fb429','alice','/images','b42a51d3f7961f61','complete','KV4i4xn8mcHHYaF4DwWHBT6V89JTg2J3LaU1m9E5yGBvFBSRm6doIjeLw',5242880,'2026-11-30 18:15:28.253536',3000,'"14e71eee8108cc0eb07f23a3b1fbc62a-1"','2026-11-30 18:15:28.000000','private, no-store, no-transform',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('647a3ee9-481a-468f-85e7-e5a73a560b43','alice','/images','84776335ed8c27f6','complete','CCiN7GJq2Sy9eUyXh7oCHV0FjJClp1sIYT4fLVT5ukuPWdcg57vjcPg4dw',5242880,'2026-11-30 18:15:28.315949',2560,'"1652baf2084cc8eaad8caf79e6565a0e-1"','2026-11-30 18:15:28.000000','private, no-store, no-transform',1024,8,'cf1f070d32b176702da4671058990ede5eb195c006f635e1dedce75be12cd788',559,'"f74f3bbd49b12c4668f57eab12066a60"','2026-11-30 18:15:28.000000','private, no-store, no-transform');
INSERT INTO "images" VALUES('1d991f1b-859e-4ed5-9386-cc38c6dfefe6','alice','/images','07c38a0601a34dca','complete','INyBklWaKGwxwpEohIfkHA0OIs09LGPuxZVKlmvFl0TvLIan1CRbSAgxw',5242880,'2026-11-30 18:15:28.393183',5243880,'"0a18cea6472385f7ac540ad121decae6-2"','2026-11-30 18:15:28.000000','private, no-store, no-transform',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('a340ec90-18a6-4e8a-9e61-701c84fe28e8','alice','/images','12a3f5b0b0679507','complete','IJVyT3tl81T6bRPTmqg0oZA3u65uXDqeRqODCtyyuaMMPmJW5KzK7sdNw',5242880,'2026-11-30 18:15:28.491838',3072,'"7c608e4ce49e4fee6b5d8071bb91ae09-1"','2026-11-30 18:15:28.000000','private, no-store, no-transform',1024,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('2f985f3a-2eaa-489b-9d50-bd69ad5751e2','alice','/images','c1c5131be80fcdab','uploading','jJADTjE801saba127UY3rdusZCKEUYDEeb4t48Gqg8Xq6aCVLKhbCsXBw',5242880,'2026-11-30 18:15:28.563623',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('1246599c-c5b8-4386-b0cc-3db212f34eec','alice','/images','fe9bb40bc5347f0e','uploading','YnmsE2ZMJnWruySxp92nI89yStyr1KnwzIYMPPww9e3yfOTWX1ZIkg',5242880,'2026-11-30 18:15:28.574911',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('5a13623d-8c54-4b78-84e7-5e4951f1cfe5','alice','/images','98752e12037edb66','uploading','WC4iOkvBEAN0kZzUHBzyrGLi01D561awRajkKMiOlWTYrBcDxiQnbKkw',5242880,'2026-11-30 18:15:28.612183',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('b905ebf3-737c-49a8-a1be-9309cd70bb22','auth0|bob/../*?%41','/images','c39fd3e56d4ff10e','complete','54JEraenTLEHfRScM8MO4HGYbyVOWLgkW1F54iZ7YCEO7o1xGmqDQX1w',5242880,'2026-11-30 18:15:28.632923',1,'"e37b1ca07717d94b790e2a8b6705fdf9-1"','2026-11-30 18:15:28.000000','private, no-store, no-transform',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "images" VALUES('b8359c90-bef4-416f-b918-ce7850ce8d40','carol','/images','36a4ca3213ec11d0','uploading','JJKfWRiQ59HRVe9GubJsUXe6LTSxj3gbCU7apoCf06XUPzmwVKKEHArw',5242880,'2026-11-30 18:15:28.657164',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
COMMIT;
