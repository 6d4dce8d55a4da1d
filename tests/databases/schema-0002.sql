BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE regsearch_epochs (
	study_uuid VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	train_loss DOUBLE NOT NULL, 
	stop_loss DOUBLE NOT NULL, 
	stop_cross_entropy DOUBLE NOT NULL, 
	stop_accuracy DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	PRIMARY KEY (study_uuid, number, epoch), 
	FOREIGN KEY(study_uuid, number) REFERENCES regsearch_trials (study_uuid, number) ON DELETE CASCADE
);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',0,0,2.72364053409546613693e-01,5.44728106819093227386e-01,5.44728106819093227386e-01,6.47363115609517647541e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',0,1,1.89030720076213271108e-01,3.78061440152426542216e-01,3.78061440152426542216e-01,7.25657050450080554071e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',0,2,1.97364053409546602591e-01,3.94728106819093205182e-01,3.94728106819093205182e-01,7.16985622581783554885e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',1,0,2.97339182114228606224e-01,5.94678364228457212448e-01,5.94678364228457212448e-01,6.27085701061620315321e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',1,1,2.64005848780895280292e-01,5.28011697561790560584e-01,5.28011697561790560584e-01,6.54445251692558738199e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',1,2,2.22339182114228595121e-01,4.44678364228457190243e-01,4.44678364228457190243e-01,6.92195595061782853463e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',3,0,6.56886674929410219192e-01,1.31377334985882043838e+00,1.31377334985882043838e+00,4.32194449841431960201e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',4,0,5.75021606241352900568e-01,1.15004321248270580113e+00,1.15004321248270580113e+00,4.65106930965018317003e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',5,0,7.01002569170668721199e-01,1.40200513834133744239e+00,1.40200513834133744239e+00,4.16318842969058966474e-01,0.0);
INSERT INTO "regsearch_epochs" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',6,0,6.67521742871031165122e-01,1.33504348574206233024e+00,1.33504348574206233024e+00,4.28257548994727288427e-01,0.0);
CREATE TABLE regsearch_runs (
	run_id INTEGER NOT NULL, 
	study_uuid VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	engine VARCHAR NOT NULL, 
	workers INTEGER NOT NULL, 
	search TEXT NOT NULL, 
	sampler VARCHAR NOT NULL, 
	pruner VARCHAR NOT NULL, 
	versions TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	stop_requested_at DATETIME, 
	ended_at DATETIME, 
	outcome VARCHAR, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(study_uuid) REFERENCES regsearch_studies (study_uuid) ON DELETE CASCADE
);
INSERT INTO "regsearch_runs" VALUES(1,'c75c45c3-9354-46ef-8e56-fb7b266235b6','a-host',1,'InterruptedEngine',2,'{"search":{"objective":"cross_entropy","sampler":"tpe","sampler_options":{"n_startup_trials":4},"pruner":"median","pruner_options":{"n_startup_trials":2},"recipes":[],"seed":0},"budget":{"trials":10,"timeout":null}}','tpe','median','{"python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1", "optuna": "5.0.0", "numpy": "2.4.6", "regsearch": "0.1.0"}','2026-11-23 15:33:09.396178',NULL,'2026-11-23 15:33:10.265654','ended by an error');
CREATE TABLE regsearch_studies (
	study_uuid VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	spec TEXT NOT NULL, 
	spec_fingerprint VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	dataset_sha256 VARCHAR NOT NULL, 
	n_train INTEGER NOT NULL, 
	n_test INTEGER NOT NULL, 
	versions TEXT NOT NULL, 
	PRIMARY KEY (study_uuid)
);
INSERT INTO "regsearch_studies" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6','2026-11-23 15:33:09.363721','{"budget":{"timeout":null,"trials":10},"confirm":null,"data":{"select_fraction":0.1,"source":"digits","stop_fraction":0.1,"train_size":200},"model":{"activation":"relu","apply_to":"widest","hidden":[16],"hypermodel":null},"search":{"objective":"cross_entropy","pruner":"median","pruner_options":{"n_startup_trials":2},"recipes":[],"sampler":"tpe","sampler_options":{"n_startup_trials":4},"seed":0},"space":{"batch_norm":["none","before_activation","after_activation"],"dropout":{"high":0.6,"low":0.05,"off":true},"l1":{"high":0.01,"low":1e-07},"l2":{"high":0.01,"low":1e-07},"patience":{"high":2,"low":1,"off":true},"regularizer":["none","l1","l2","l1_l2"]},"spec_version":1,"study":{"name":"smoke","question":"Does everything work?"},"training":{"batch_size":32,"learning_rate":0.001,"max_epochs":3,"optimizer":"adam","trainer":"compiled"}}','d021d2b1c7705b46fdd03bd1c68569feabc9f267d2565fc27a995e9c4aede66f','digits','digits','8975837f7fa4a597f739b133fee333b4a081b3665e7f52b8c0ff0e1f35e45633',1437,360,'{"python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1", "optuna": "5.0.0", "numpy": "2.4.6", "regsearch": "0.1.0"}');
CREATE TABLE regsearch_trials (
	study_uuid VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	reason TEXT, 
	best_epoch INTEGER, 
	epochs INTEGER, 
	select_cross_entropy DOUBLE, 
	select_accuracy DOUBLE, 
	train_cross_entropy DOUBLE, 
	train_accuracy DOUBLE, 
	near_zero_share DOUBLE, 
	seconds DOUBLE, weights_sha256 VARCHAR, 
	PRIMARY KEY (study_uuid, number), 
	FOREIGN KEY(study_uuid) REFERENCES regsearch_studies (study_uuid) ON DELETE CASCADE
);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',0,0,NULL,1,3,4.47281068190932273864e-02,9.57186844570231842865e-01,2.23640534095466136932e-02,9.78125156753151370203e-01,0.5,0.0,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',1,0,NULL,2,3,9.46783642284572124481e-02,9.13510335709258547431e-01,4.7339182114228606224e-02,9.54800524106558690107e-01,0.5,0.0,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',2,0,'diverged at epoch 0',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',3,0,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',4,0,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',5,0,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',6,0,NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "regsearch_trials" VALUES('c75c45c3-9354-46ef-8e56-fb7b266235b6',7,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE regsearch_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT regsearch_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "regsearch_version" VALUES('0002');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'smoke');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["select cross entropy"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'regsearch:study','"c75c45c3-9354-46ef-8e56-fb7b266235b6"');
INSERT INTO "study_user_attributes" VALUES(2,1,'data set','"digits, 1,437 + 360 images"');
INSERT INTO "study_user_attributes" VALUES(3,1,'question','"Does everything work?"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,0,5.44728106819093227386e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,1,3.78061440152426542216e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,2,3.94728106819093205182e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,0,5.94678364228457212448e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,1,5.28011697561790560584e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,2,2,4.44678364228457190243e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,4,0,1.31377334985882043838e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,5,0,1.15004321248270580113e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,6,0,1.40200513834133744239e+00,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,7,0,1.33504348574206233024e+00,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'regularizer',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(2,1,'l1',2.6452182952926727279e-07,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(3,1,'l2',7.5602641620894175359e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(4,1,'use_dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(5,1,'dropout',3.67978024710994888746e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(6,1,'batch_norm',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(7,1,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(8,1,'patience',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(9,2,'regularizer',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(10,2,'l1',1.75378733737172097864e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(11,2,'l2',1.79049105064933516094e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(12,2,'use_dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(13,2,'batch_norm',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(14,2,'early_stopping',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(15,3,'regularizer',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(16,3,'use_dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(17,3,'dropout',0.509205675697023,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(18,3,'batch_norm',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(19,3,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(20,3,'patience',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(21,4,'regularizer',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(22,4,'use_dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(23,4,'dropout',1.6827006088106188919e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(24,4,'batch_norm',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(25,4,'early_stopping',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(26,5,'regularizer',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(27,5,'use_dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(28,5,'dropout',2.5089451930907363808e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(29,5,'batch_norm',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(30,5,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(31,5,'patience',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(32,6,'regularizer',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(33,6,'l1',1.69199657352131031147e-07,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(34,6,'l2',1.38133047441785884344e-07,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(35,6,'use_dropout',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(36,6,'dropout',5.72380132469254343519e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.05, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(37,6,'batch_norm',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(38,6,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(39,6,'patience',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(40,7,'regularizer',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(41,7,'l1',1.59242269916737949207e-07,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(42,7,'use_dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(43,7,'batch_norm',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(44,7,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(45,7,'patience',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
INSERT INTO "trial_params" VALUES(46,8,'regularizer',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "l1", "l2", "l1_l2"]}}');
INSERT INTO "trial_params" VALUES(47,8,'l2',3.35750322531378143681e-06,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-07, "high": 0.01, "log": true}}');
INSERT INTO "trial_params" VALUES(48,8,'use_dropout',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(49,8,'batch_norm',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "before_activation", "after_activation"]}}');
INSERT INTO "trial_params" VALUES(50,8,'early_stopping',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [false, true]}}');
INSERT INTO "trial_params" VALUES(51,8,'patience',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 2}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,6,'tpe:relative_params:0','"{\"batch_norm\": \"before_activation\", \"early_stopping\": true, \"regularizer\": \"l1_l2\", \"use_dropout\": true}"');
INSERT INTO "trial_system_attributes" VALUES(2,7,'tpe:relative_params:0','"{\"batch_norm\": \"none\", \"early_stopping\": true, \"regularizer\": \"l1\", \"use_dropout\": false}"');
INSERT INTO "trial_system_attributes" VALUES(3,8,'tpe:relative_params:0','"{\"batch_norm\": \"before_activation\", \"early_stopping\": true, \"regularizer\": \"l2\", \"use_dropout\": false}"');
INSERT INTO "trial_system_attributes" VALUES(4,9,'fixed_params','{"l2": 0.0001, "regularizer": "l2", "use_dropout": false}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'regularization','"L1 2.65e-07, L2 7.56e-06, dropout 0.368, BatchNorm before activation, early stopping (patience 1)"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'select accuracy','0.9571868445702318');
INSERT INTO "trial_user_attributes" VALUES(3,1,'select cross-entropy','0.04472810681909323');
INSERT INTO "trial_user_attributes" VALUES(4,1,'generalization gap','0.022364053409546614');
INSERT INTO "trial_user_attributes" VALUES(5,1,'best epoch','1');
INSERT INTO "trial_user_attributes" VALUES(6,2,'regularization','"L1 0.00175, L2 0.00179, BatchNorm after activation"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'select accuracy','0.9135103357092585');
INSERT INTO "trial_user_attributes" VALUES(8,2,'select cross-entropy','0.09467836422845721');
INSERT INTO "trial_user_attributes" VALUES(9,2,'generalization gap','0.047339182114228606');
INSERT INTO "trial_user_attributes" VALUES(10,2,'best epoch','2');
INSERT INTO "trial_user_attributes" VALUES(11,3,'reason','"diverged at epoch 0"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,4.47281068190932273864e-02,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,9.46783642284572124481e-02,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,1.31377334985882043838e+00,'FINITE');
INSERT INTO "trial_values" VALUES(4,5,0,1.15004321248270580113e+00,'FINITE');
INSERT INTO "trial_values" VALUES(5,6,0,1.40200513834133744239e+00,'FINITE');
INSERT INTO "trial_values" VALUES(6,7,0,1.33504348574206233024e+00,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-23 15:33:09.440231','2026-11-23 15:33:09.590459');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-23 15:33:09.612117','2026-11-23 15:33:09.733123');
INSERT INTO "trials" VALUES(3,2,1,'FAIL','2026-11-23 15:33:09.753980','2026-11-23 15:33:09.791719');
INSERT INTO "trials" VALUES(4,3,1,'PRUNED','2026-11-23 15:33:09.821755','2026-11-23 15:33:09.859077');
INSERT INTO "trials" VALUES(5,4,1,'PRUNED','2026-11-23 15:33:09.886095','2026-11-23 15:33:09.929142');
INSERT INTO "trials" VALUES(6,5,1,'PRUNED','2026-11-23 15:33:09.967295','2026-11-23 15:33:10.126150');
INSERT INTO "trials" VALUES(7,6,1,'PRUNED','2026-11-23 15:33:10.155009','2026-11-23 15:33:10.196901');
INSERT INTO "trials" VALUES(8,7,1,'RUNNING','2026-11-23 15:33:10.221243',NULL);
INSERT INTO "trials" VALUES(9,8,1,'WAITING',NULL,NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_regsearch_runs_study_uuid ON regsearch_runs (study_uuid);
COMMIT;
